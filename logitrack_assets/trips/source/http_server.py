"""Trip files of an HTTP server: probes, resumable downloads and retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2

from logitrack_assets.files import read_json, write_json
from logitrack_assets.trips.source.published import PublishedFile, SourceError, SourceUnavailableError

ABSENT_STATUSES = (403, 404, 410)  # the TLC's server responds 403 for files that it does not have
RETRYABLE_STATUSES = (408, 425, 429, 500, 502, 503, 504)
PROGRESS_SECONDS = 10

_T = TypeVar("_T")


@dataclass(frozen=True)
class HttpFiles:
    """Trip files below `<base>/trip-data/`.

    Attributes:
        base: `https://` or `http://` address.
        attempts: Maximum number of attempts per operation.
        pause_seconds: Pause before the second attempt; it doubles with each further one.
        timeout_seconds: Timeout of connecting and of each read.
        report: Receives progress lines.
    """

    base: str
    attempts: int
    pause_seconds: float
    timeout_seconds: float
    report: Callable[[str], None]

    def probe(self, name: str) -> PublishedFile | None:
        """Return the named file's address, length and version, or None when the server does not have it.

        Raises:
            SourceUnavailableError: The server does not respond.
            SourceError: It responds with another error.
        """
        url = f"{self.base.rstrip('/')}/trip-data/{name}"
        return self._retry(url, lambda: self._head(url))

    def fetch(self, published: PublishedFile, target: Path) -> None:
        """Download the file to `target`.

        Continues a partial `target` that an earlier attempt or process left, if the file's version is the same.

        Raises:
            SourceUnavailableError: The server does not respond or breaks off.
            SourceError: It responds with another error, or with another file than was probed.
        """
        version = target.with_name(target.name + ".version.json")
        if read_json(version) != asdict(published):
            target.unlink(missing_ok=True)
            write_json(version, asdict(published))
        self._retry(published.url, lambda: self._receive(published, target))
        version.unlink()

    def _client(self) -> httpx2.Client:
        # Under any other content coding, lengths and ranges would count encoded bytes.
        headers = {"Accept-Encoding": "identity", "User-Agent": "logitrack"}
        return httpx2.Client(headers=headers, timeout=self.timeout_seconds, follow_redirects=True)

    def _head(self, url: str) -> PublishedFile | None:
        with self._client() as client:
            response = client.head(url)
            if response.status_code in (405, 501):  # no HEAD: read the headers of a GET and close it
                with client.stream("GET", url) as response:
                    return _published(url, response)
            return _published(url, response)

    def _receive(self, published: PublishedFile, target: Path) -> None:
        offset = target.stat().st_size if target.exists() else 0
        if published.bytes is not None and offset == published.bytes:
            return
        headers = {}
        if offset and published.etag is not None:  # without a validator the rest could be of another version
            headers = {"Range": f"bytes={offset}-", "If-Range": published.etag}
        with self._client() as client, client.stream("GET", published.url, headers=headers) as response:
            if response.status_code in ABSENT_STATUSES:
                raise SourceError(
                    f"{published.url} was removed while it was read: it now responds {response.status_code}."
                )
            response.raise_for_status()
            offset = _confirmed_offset(published, response, offset)
            if offset:
                self.report(f"{published.name}: resuming at byte {offset:,}")
            progress = _Progress(published, offset, self.report)
            with target.open("ab" if offset else "wb") as file:
                for chunk in response.iter_raw():  # written as received, so that a broken connection loses nothing
                    file.write(chunk)
                    progress.add(len(chunk))
            progress.report_now()

    def _retry(self, url: str, operation: Callable[[], _T]) -> _T:
        """Return the operation's result; repeat it after errors that can pass, with doubling pauses."""
        for number in range(1, self.attempts + 1):
            try:
                return operation()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code not in RETRYABLE_STATUSES:
                    raise SourceError(f"{url} responded {error.response.status_code}.") from None
                reason = f"it responded {error.response.status_code}"
            except httpx2.UnsupportedProtocol:
                raise SourceError(
                    f"{self.base} is not a valid address.", hint="Write https://…, file://… or a folder."
                ) from None
            except (httpx2.TransportError, httpx2.TooManyRedirects) as error:
                reason = str(error) or type(error).__name__
            if number < self.attempts:
                pause = self.pause_seconds * 2 ** (number - 1)
                self.report(f"{url}: {reason}; attempt {number + 1} of {self.attempts} in {pause:g} s")
                time.sleep(pause)
        raise SourceUnavailableError(f"The source is down: {url} failed {self.attempts} times, last because {reason}.")


def _published(url: str, response: httpx2.Response) -> PublishedFile | None:
    if response.status_code in ABSENT_STATUSES:
        return None
    response.raise_for_status()
    length = response.headers.get("content-length")
    # A weak ETag must not validate ranges, but like a modification date it distinguishes versions.
    etag = response.headers.get("etag") or response.headers.get("last-modified")
    return PublishedFile(url, int(length) if length is not None else None, etag)


def _confirmed_offset(published: PublishedFile, response: httpx2.Response, requested: int) -> int:
    """Return the byte at which the response begins: the requested one, or 0 when the server sends the whole file.

    Raises:
        SourceError: The response is another range, or its length differs from the probed one.
    """
    offset = 0
    if response.status_code == 206:
        if not response.headers.get("content-range", "").startswith(f"bytes {requested}-"):
            raise SourceError(f"{published.url} responded with another range than the requested one.")
        offset = requested
    announced = response.headers.get("content-length")
    if published.bytes is not None and announced is not None and offset + int(announced) != published.bytes:
        raise SourceError(
            f"{published.name}: the source stated {published.bytes:,} bytes before, now {offset + int(announced):,}."
        )
    return offset


@dataclass
class _Progress:
    """Reports the state of a download every `PROGRESS_SECONDS` and at its end."""

    published: PublishedFile
    offset: int
    report: Callable[[str], None]
    received: int = 0
    started: float = field(default_factory=time.monotonic)
    reported: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        """Count received bytes."""
        self.received += count
        if time.monotonic() - self.reported > PROGRESS_SECONDS:
            self.reported = time.monotonic()
            self.report_now()

    def report_now(self) -> None:
        """Report received megabytes and the rate."""
        seconds = max(time.monotonic() - self.started, 1e-3)
        total = self.published.bytes
        share = f" of {total / 1e6:,.1f}" if total else ""
        self.report(
            f"{self.published.name}: {(self.offset + self.received) / 1e6:,.1f}{share} MB, "
            f"{self.received / 1e6 / seconds:,.1f} MB/s"
        )
