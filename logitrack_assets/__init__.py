"""Trips of the New York taxi commission become an ETA model: the Dagster code location and the `logitrack` command."""
