"""Small extracts of real trip files, laid out as the TLC publishes them; see PROVENANCE.md."""

from pathlib import Path


def extracts_folder() -> Path:
    """Return the folder with the extracts: `<folder>/trip-data/<fleet>_tripdata_<YYYY-MM>.parquet`."""
    return Path(__file__).resolve().parent
