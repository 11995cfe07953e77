"""How long a ride will take, asked one by one, by the thousand, or as a matrix."""
