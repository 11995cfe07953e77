"""What a source publishes, and the errors of reading it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from logitrack_assets.errors import LogitrackError


class SourceError(LogitrackError):
    """A source gave a response that a repetition does not change; the message names the file and the reason."""


class SourceUnavailableError(SourceError):
    """A source does not respond or breaks off, after several attempts; a later run can succeed."""


@dataclass(frozen=True)
class PublishedFile:
    """A file that a source has.

    Attributes:
        url: Its address.
        bytes: Its length, None when the server does not state it.
        etag: What distinguishes its versions: an ETag or a modification time, None when the server states neither.
    """

    url: str
    bytes: int | None
    etag: str | None

    @property
    def name(self) -> str:
        """The file's name."""
        return unquote(self.url.rsplit("/", 1)[-1])


def file_name(fleet: str, month: str) -> str:
    """Return the TLC's name of a fleet's file of a month `YYYY-MM`."""
    return f"{fleet}_tripdata_{month}.parquet"
