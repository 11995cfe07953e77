"""What a trip is: where the files come from, what their columns mean, which rows count."""
