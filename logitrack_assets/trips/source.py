"""Where trip files come from: the TLC's server, any HTTP server or folder laid out like it.

    <base>/trip-data/<fleet>_tripdata_<YYYY-MM>.parquet

`Source.probe` asks what is published without fetching it; `Source.fetch` brings a file to a staging place, picks up
where a broken connection or a killed process left off, and checks the length. Four outcomes are kept apart: here it
is, not published yet (None), `SourceUnavailableError` (worth trying again), `SourceError` (not worth it).
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import httpx2

from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import read_json, write_json

NOT_PUBLISHED = (403, 404, 410)  # the TLC's server answers 403 for a file that it does not have
RETRYABLE_STATUSES = (408, 425, 429, 500, 502, 503, 504)

_T = TypeVar("_T")


class SourceError(LogitrackError):
    """The source gave an answer that trying again will not mend; the message names the file and the reason."""


class SourceUnavailableError(SourceError):
    """The source does not answer, or breaks off, also after several attempts: worth trying again later."""


@dataclass(frozen=True)
class Published:
    """A file that the source has: where, its length (None if not said), and what tells its versions apart."""

    url: str
    bytes: int | None
    etag: str | None

    @property
    def name(self) -> str:
        return unquote(self.url.rsplit("/", 1)[-1])


def file_name(fleet: str, month: str) -> str:
    """What the TLC calls a fleet's file of a month."""
    return f"{fleet}_tripdata_{month}.parquet"


@dataclass(frozen=True)
class Source:
    """A place that publishes trip files. `base` is an `https://`, `http://` or `file://` address, or a folder."""

    base: str
    attempts: int = 5
    pause_seconds: float = 1.0
    timeout_seconds: float = 30.0
    report: Callable[[str], None] = print

    def probe(self, fleet: str, month: str) -> Published | None:
        """What the source publishes for a fleet and month, or None when it has not published that yet.

        Raises SourceUnavailableError when the source does not answer, SourceError when it answers with something else.
        """
        if (folder := self._folder()) is not None:
            return _probe_folder(folder, file_name(fleet, month))
        url = f"{self.base.rstrip('/')}/trip-data/{file_name(fleet, month)}"
        return self._repeat(url, lambda: self._probe_http(url))

    def fetch(self, published: Published, into: Path) -> str:
        """Brings the file to `into` and returns its SHA-256.

        A part that an earlier attempt or process left at `into` is completed if the file is still the same
        version. Raises SourceUnavailableError and SourceError as `probe` does.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        if (folder := self._folder()) is not None:
            path = folder / "trip-data" / published.name
            try:
                shutil.copyfile(path, into)
            except FileNotFoundError:
                raise SourceUnavailableError(f"{path} was there a moment ago and is gone.") from None
        else:
            self._fetch_http(published, into)
        received = into.stat().st_size
        if published.bytes is not None and received != published.bytes:
            into.unlink()
            raise SourceError(
                f"{published.name}: the source says {published.bytes:,} bytes and sent {received:,}; nothing was kept."
            )
        with into.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _folder(self) -> Path | None:
        parts = urlsplit(self.base)
        if parts.scheme in ("http", "https"):
            return None
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        return Path(self.base).expanduser()

    def _client(self) -> httpx2.Client:
        # Any other encoding than identity would make lengths and ranges mean something else.
        headers = {"Accept-Encoding": "identity", "User-Agent": "logitrack"}
        return httpx2.Client(headers=headers, timeout=self.timeout_seconds, follow_redirects=True)

    def _probe_http(self, url: str) -> Published | None:
        with self._client() as client:
            answer = client.head(url)
            if answer.status_code in (405, 501):  # a server without HEAD: ask for the file, and read no further
                with client.stream("GET", url) as answer:
                    return _published(url, answer)
            return _published(url, answer)

    def _fetch_http(self, published: Published, into: Path) -> None:
        version = into.with_name(into.name + ".version.json")
        if read_json(version) != asdict(published):
            into.unlink(missing_ok=True)
            write_json(version, asdict(published))
        self._repeat(published.url, lambda: self._receive(published, into))
        version.unlink()

    def _receive(self, published: Published, into: Path) -> None:
        have = into.stat().st_size if into.exists() else 0
        if published.bytes is not None and have == published.bytes:
            return
        headers = {}
        if have and published.etag is not None:  # without a validator a second part might be of another version
            headers = {"Range": f"bytes={have}-", "If-Range": published.etag}
        with self._client() as client, client.stream("GET", published.url, headers=headers) as answer:
            if answer.status_code in NOT_PUBLISHED:
                raise SourceError(f"{published.url} was there a moment ago and now answers {answer.status_code}.")
            answer.raise_for_status()
            resumed = answer.status_code == 206 and answer.headers.get("content-range", "").startswith(f"bytes {have}-")
            if not resumed:
                have = 0
                if answer.status_code == 206:
                    raise SourceError(f"{published.url} answered with another range than the one asked for.")
            announced = answer.headers.get("content-length")
            if published.bytes is not None and announced is not None and have + int(announced) != published.bytes:
                raise SourceError(
                    f"{published.name}: the source said {published.bytes:,} bytes, now {have + int(announced):,}."
                )
            if resumed:
                self.report(f"{published.name}: going on at byte {have:,}")
            progress = _Progress(published, have, self.report)
            with into.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_raw():  # as they come: what has come when the connection breaks is kept
                    file.write(chunk)
                    progress.add(len(chunk))
            progress.done()

    def _repeat(self, url: str, attempt: Callable[[], _T]) -> _T:
        """Tries until it succeeds, with pauses that double, as often as `attempts` says."""
        for number in range(1, self.attempts + 1):
            try:
                return attempt()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code not in RETRYABLE_STATUSES:
                    raise SourceError(f"{url} answered {error.response.status_code}.") from None
                reason = f"it answered {error.response.status_code}"
            except httpx2.UnsupportedProtocol:
                raise SourceError(f"{self.base} is no address: write https://…, file://… or a folder.") from None
            except (httpx2.TransportError, httpx2.TooManyRedirects) as error:
                reason = str(error) or type(error).__name__
            if number < self.attempts:
                pause = self.pause_seconds * 2 ** (number - 1)
                self.report(f"{url}: {reason}; attempt {number + 1} of {self.attempts} in {pause:g} s")
                time.sleep(pause)
        raise SourceUnavailableError(
            f"The source is down: {url} failed {self.attempts} times, at last because {reason}."
        )


def _published(url: str, answer: httpx2.Response) -> Published | None:
    if answer.status_code in NOT_PUBLISHED:
        return None
    answer.raise_for_status()
    length = answer.headers.get("content-length")
    # A weak ETag must not be used to join parts, but like a date of change it does tell versions apart.
    etag = answer.headers.get("etag") or answer.headers.get("last-modified")
    return Published(url, int(length) if length is not None else None, etag)


def _probe_folder(folder: Path, name: str) -> Published | None:
    if not folder.is_dir():
        raise SourceUnavailableError(f"The source is down: there is no folder {folder}.")
    path = folder / "trip-data" / name
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return Published(path.absolute().as_uri(), facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}")


class _Progress:
    """Says how far a download is, every ten seconds and at its end."""

    def __init__(self, published: Published, have: int, report: Callable[[str], None]) -> None:
        self.published, self.have, self.report = published, have, report
        self.received, self.started = 0, time.monotonic()
        self.said = self.started

    def add(self, count: int) -> None:
        self.received += count
        if time.monotonic() - self.said > 10:
            self.said = time.monotonic()
            self._say()

    def done(self) -> None:
        self._say()

    def _say(self) -> None:
        seconds = max(time.monotonic() - self.started, 1e-3)
        total = self.published.bytes
        share = f" of {total / 1e6:,.1f}" if total else ""
        self.report(
            f"{self.published.name}: {(self.have + self.received) / 1e6:,.1f}{share} MB, "
            f"{self.received / 1e6 / seconds:,.1f} MB/s"
        )
