"""Trip files of a local folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from logitrack_assets.trips.source.published import PublishedFile, SourceUnavailableError


@dataclass(frozen=True)
class FolderFiles:
    """Trip files in `<folder>/trip-data/`."""

    folder: Path

    def probe(self, name: str) -> PublishedFile | None:
        """Return the named file's address and version, or None when it does not exist.

        Raises:
            SourceUnavailableError: The folder does not exist.
        """
        if not self.folder.is_dir():
            raise SourceUnavailableError(f"The source is down: there is no folder {self.folder}.")
        path = self.folder / "trip-data" / name
        try:
            facts = path.stat()
        except FileNotFoundError:
            return None
        return PublishedFile(path.absolute().as_uri(), facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}")

    def fetch(self, published: PublishedFile, target: Path) -> None:
        """Copy the file to `target`.

        Raises:
            SourceUnavailableError: The file was removed after `probe`.
        """
        path = self.folder / "trip-data" / published.name
        try:
            shutil.copyfile(path, target)
        except FileNotFoundError:
            raise SourceUnavailableError(f"{path} was removed while it was read.") from None
