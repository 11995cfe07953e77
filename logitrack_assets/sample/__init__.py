"""A small sample of real trips, laid out as the TLC publishes them; see PROVENANCE.md."""

from pathlib import Path


def folder() -> Path:
    """The folder that stands in for the TLC's server: `<folder>/trip-data/yellow_tripdata_2019-MM.parquet`."""
    return Path(__file__).resolve().parent
