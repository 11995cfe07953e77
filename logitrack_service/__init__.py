"""The HTTP service that answers how long a ride takes."""
