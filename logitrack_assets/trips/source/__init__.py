"""Published trip files: the TLC's server, or any HTTP server or folder with the same layout."""

from logitrack_assets.trips.source.availability import first_month, newest_months
from logitrack_assets.trips.source.published import PublishedFile, SourceError, SourceUnavailableError, file_name
from logitrack_assets.trips.source.source import Source

__all__ = [
    "PublishedFile",
    "Source",
    "SourceError",
    "SourceUnavailableError",
    "file_name",
    "first_month",
    "newest_months",
]
