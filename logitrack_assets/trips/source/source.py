"""Access to published trip files.

    <base>/trip-data/<fleet>_tripdata_<YYYY-MM>.parquet

`Source.probe` returns what is published without downloading it; `Source.fetch` brings a file to a staging folder. Four
results are distinct: a file, None (not published yet), `SourceUnavailableError` (a retry can help) and `SourceError`
(it cannot).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from logitrack_assets.trips.source.folder import FolderFiles
from logitrack_assets.trips.source.http_server import HttpFiles
from logitrack_assets.trips.source.published import PublishedFile, SourceError, file_name


@dataclass(frozen=True)
class Source:
    """A publisher of trip files.

    Attributes:
        base: `https://`, `http://` or `file://` address, or a folder.
        attempts: Maximum number of attempts per HTTP operation.
        pause_seconds: Pause before the second attempt; it doubles with each further one.
        timeout_seconds: Timeout of connecting and of each read.
        report: Receives progress lines.
    """

    base: str
    attempts: int = 5
    pause_seconds: float = 1.0
    timeout_seconds: float = 30.0
    report: Callable[[str], None] = print

    @property
    def folder(self) -> Path | None:
        """The folder of a local source, or None for a server."""
        parts = urlsplit(self.base)
        if parts.scheme in ("http", "https"):
            return None
        return Path(unquote(parts.path)) if parts.scheme == "file" else Path(self.base).expanduser()

    def probe(self, fleet: str, month: str) -> PublishedFile | None:
        """Return what is published for a fleet and month `YYYY-MM`, or None when nothing is.

        Raises:
            SourceUnavailableError: The source does not respond.
            SourceError: It responds with another error.
        """
        return self._files().probe(file_name(fleet, month))

    def fetch(self, published: PublishedFile, target: Path) -> str:
        """Bring a file to `target` and return its SHA-256.

        Continues a partial `target` that an earlier attempt or process left, if the file's version is the same.

        Raises:
            SourceUnavailableError: The source does not respond or breaks off.
            SourceError: It responds with another error, or with another length than it stated.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        self._files().fetch(published, target)
        received = target.stat().st_size
        if published.bytes is not None and received != published.bytes:
            target.unlink()
            raise SourceError(
                f"{published.name}: the source stated {published.bytes:,} bytes and sent {received:,}; "
                "the file is discarded."
            )
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _files(self) -> FolderFiles | HttpFiles:
        if self.folder is not None:
            return FolderFiles(self.folder)
        return HttpFiles(self.base, self.attempts, self.pause_seconds, self.timeout_seconds, self.report)
