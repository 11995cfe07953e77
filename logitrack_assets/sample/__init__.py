"""A small sample of real trips in the TLC's layout; see PROVENANCE.md."""

from pathlib import Path


def folder() -> Path:
    """Return the folder to use as a source: `<folder>/trip-data/yellow_tripdata_2019-MM.parquet`."""
    return Path(__file__).resolve().parent
