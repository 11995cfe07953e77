"""The built files of the web console, with the representations that the build has compressed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).parent / "built"
NOT_BUILT = Path(__file__).parent / "not-built.html"

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ENCODINGS = {"br": ".br", "gzip": ".gz"}  # content codings in the order of preference, with the suffixes of the build


@dataclass(frozen=True)
class ConsoleFile:
    """One representation of a file.

    Attributes:
        content: The bytes to send.
        media_type: The media type of the file.
        encoding: The content coding of the bytes, None for the file itself.
    """

    content: bytes
    media_type: str
    encoding: str | None


class ConsoleFiles:
    """Reads the files that `build.py` has written."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder

    @property
    def are_built(self) -> bool:
        """Return whether there is anything to serve."""
        return (self._folder / "index.html").is_file()

    def page(self, accept_encoding: str) -> ConsoleFile:
        """Return the page of the console, or one that says how to build it."""
        path = self._folder / "index.html" if self.are_built else NOT_BUILT
        return _read(path, accept_encoding)

    def asset(self, name: str, accept_encoding: str) -> ConsoleFile | None:
        """Return a file that the page loads, None if there is no such file."""
        path = self._folder / "assets" / name
        if not _NAME.fullmatch(name) or path.suffix not in _MEDIA_TYPES or not path.is_file():
            return None
        return _read(path, accept_encoding)


def _read(path: Path, accept_encoding: str) -> ConsoleFile:
    media_type = _MEDIA_TYPES[path.suffix]
    for encoding, suffix in _ENCODINGS.items():
        compressed = path.with_name(path.name + suffix)
        if accepts(encoding, accept_encoding) and compressed.is_file():
            return ConsoleFile(compressed.read_bytes(), media_type, encoding)
    return ConsoleFile(path.read_bytes(), media_type, None)


def accepts(encoding: str, accept_encoding: str) -> bool:
    """Return whether the header `Accept-Encoding` names a content coding, with a weight above 0 (RFC 9110, 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == encoding:
            return weight.strip() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
