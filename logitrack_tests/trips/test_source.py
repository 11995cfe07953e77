"""Ingestion from HTTP servers with and without faults, and from folders."""

import errno
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logitrack_assets.lake import Lake
from logitrack_assets.trips.errors import BrokenFileError, DiskFullError
from logitrack_assets.trips.ingest import (
    NEW,
    NOT_PUBLISHED,
    REPUBLISHED,
    UNCHANGED,
    WITHDRAWN,
    ingest_file,
)
from logitrack_assets.trips.source import Source, SourceError, SourceUnavailableError, file_name


@dataclass
class TlcServer:
    """State of a server with the TLC's layout and configurable faults."""

    url: str = ""
    content: bytes | None = None
    etag: str = '"1"'
    statuses: list[int] = field(default_factory=list)
    break_off_at: list[int] = field(default_factory=list)
    announced: int | None = None
    head_allowed: bool = True
    sends_etag: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def gets(self) -> list[str | None]:
        return [range_ for method, range_ in self.requests if method == "GET"]


class TlcHandler(BaseHTTPRequestHandler):
    """Responds from the state of the server that a test configures."""

    state: ClassVar[TlcServer]

    def do_HEAD(self) -> None:
        if not self.state.head_allowed:
            self.send_error(405)
        else:
            self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def respond(self, *, body: bool) -> None:
        state, range_header = self.state, self.headers.get("Range")
        state.requests.append((self.command, range_header))
        if state.statuses and (status := state.statuses.pop(0)) != 200:
            self.send_error(status)
        elif state.content is None:
            self.send_error(403)
        else:
            start = 0
            if range_header and self.headers.get("If-Range") == state.etag:
                start = int(range_header.removeprefix("bytes=").rstrip("-"))
            self.send_content(state.content, start, body=body)

    def send_content(self, content: bytes, start: int, *, body: bool) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.state.sends_etag:
            self.send_header("ETag", self.state.etag)
        self.send_header("Content-Length", str((self.state.announced or len(content)) - start))
        self.end_headers()
        if body:
            end = self.state.break_off_at.pop(0) if self.state.break_off_at else len(content)
            self.wfile.write(content[start:end])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Suppress the access log."""


@pytest.fixture
def tlc() -> Iterator[TlcServer]:
    state = TlcServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (TlcHandler,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def source(base: str, **settings: object) -> Source:
    lines: list[str] = []
    return Source(base, **{"attempts": 3, "pause_seconds": 0.01, "report": lines.append, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def january(tlc_folder: Path) -> bytes:
    return (tlc_folder / "trip-data" / file_name("yellow", "2019-01")).read_bytes()


def test_new_file_is_stored_with_receipt(tlc, january, tmp_path):
    tlc.content = january
    result = ingest_file(Lake(tmp_path), source(tlc.url), "yellow", "2019-01")
    assert result.outcome == NEW
    receipt = Lake(tmp_path).receipt("yellow", "2019-01")
    assert receipt is not None
    assert receipt["bytes"] == len(january)
    assert receipt["rows"] == 10_000
    assert receipt["etag"] == '"1"'
    assert receipt["url"] == f"{tlc.url}/trip-data/yellow_tripdata_2019-01.parquet"
    assert receipt["schema"]["PULocationID"] == "int64"
    kept = Lake(tmp_path).bronze("yellow", "2019-01") / file_name("yellow", "2019-01")
    assert kept.read_bytes() == january


def test_only_republished_file_is_downloaded_again(tlc, january, tlc_folder, tmp_path):
    lake = Lake(tmp_path)
    tlc.content = january
    first = ingest_file(lake, source(tlc.url), "yellow", "2019-01")
    assert ingest_file(lake, source(tlc.url), "yellow", "2019-01").outcome == UNCHANGED
    assert len(tlc.gets()) == 1
    tlc.etag = '"2"'
    again = ingest_file(lake, source(tlc.url), "yellow", "2019-01")
    assert again.outcome == REPUBLISHED
    assert first.receipt
    assert again.replaced_sha256 == first.receipt["sha256"]


def test_broken_connection_is_resumed(tlc, january, tmp_path):
    tlc.content, half = january, len(january) // 2
    tlc.break_off_at = [half]
    assert ingest_file(Lake(tmp_path), source(tlc.url), "yellow", "2019-01").outcome == NEW
    assert tlc.gets() == [None, f"bytes={half}-"]


def test_partial_download_is_resumed_by_later_run(tlc, january, tmp_path):
    lake, half = Lake(tmp_path), len(january) // 2
    tlc.content, tlc.break_off_at = january, [half]
    with pytest.raises(SourceUnavailableError):
        ingest_file(lake, source(tlc.url, attempts=1), "yellow", "2019-01")
    assert lake.receipt("yellow", "2019-01") is None
    assert ingest_file(lake, source(tlc.url), "yellow", "2019-01").outcome == NEW
    assert tlc.gets()[-1] == f"bytes={half}-"


def test_file_changed_between_parts_is_downloaded_anew(tlc, january, tlc_folder, tmp_path):
    lake = Lake(tmp_path)
    tlc.content, tlc.break_off_at = january, [len(january) // 2]
    with pytest.raises(SourceUnavailableError):
        ingest_file(lake, source(tlc.url, attempts=1), "yellow", "2019-01")
    tlc.content = january + b""
    tlc.etag = '"2"'
    ingest_file(lake, source(tlc.url), "yellow", "2019-01")
    assert tlc.gets()[-1] is None


def test_not_published_withdrawn_and_unavailable_are_distinct(tlc, january, tmp_path):
    lake = Lake(tmp_path)
    assert ingest_file(lake, source(tlc.url), "yellow", "2019-01").outcome == NOT_PUBLISHED
    tlc.statuses = [503, 503, 503]
    with pytest.raises(SourceUnavailableError, match="failed 3 times, last because it responded 503"):
        ingest_file(lake, source(tlc.url), "yellow", "2019-01")
    tlc.content, tlc.statuses = january, [503, 200, 500, 200]
    assert ingest_file(lake, source(tlc.url), "yellow", "2019-01").outcome == NEW
    tlc.content = None
    assert ingest_file(lake, source(tlc.url), "yellow", "2019-01").outcome == WITHDRAWN
    assert lake.receipt("yellow", "2019-01") is not None


def test_permanent_error_is_not_retried(tlc, tmp_path):
    tlc.statuses = [401]
    with pytest.raises(SourceError, match="responded 401") as raised:
        source(tlc.url).probe("yellow", "2019-01")
    assert not isinstance(raised.value, SourceUnavailableError)
    assert len(tlc.requests) == 1


def test_absent_source_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailableError, match="no folder"):
        source(str(tmp_path / "nowhere")).probe("yellow", "2019-01")
    with pytest.raises(SourceUnavailableError):
        source("http://127.0.0.1:9").probe("yellow", "2019-01")
    with pytest.raises(SourceError, match="missing|not a valid address"):
        source("http://").probe("yellow", "2019-01")


def test_short_response_is_unavailable_after_all_attempts(tlc, january, tmp_path):
    tlc.content, tlc.announced = january, len(january) + 1000
    with pytest.raises(SourceUnavailableError, match="failed 3 times"):
        ingest_file(Lake(tmp_path), source(tlc.url), "yellow", "2019-01")
    assert Lake(tmp_path).receipt("yellow", "2019-01") is None


def test_server_without_head_and_etag_is_supported(tlc, january, tmp_path):
    tlc.content, tlc.head_allowed, tlc.sends_etag = january, False, False
    assert ingest_file(Lake(tmp_path), source(tlc.url), "yellow", "2019-01").outcome == NEW


@pytest.mark.parametrize("form", ["folder", "file"])
def test_folder_source_has_same_outcomes(form, tlc_folder, tmp_path):
    lake, base = Lake(tmp_path), str(tlc_folder) if form == "folder" else tlc_folder.resolve().as_uri()
    assert ingest_file(lake, source(base), "green", "2023-01").outcome == NEW
    assert ingest_file(lake, source(base), "green", "2023-01").outcome == UNCHANGED
    assert ingest_file(lake, source(base), "green", "2023-07").outcome == NOT_PUBLISHED


def parquet(schema: dict[str, pa.DataType], rows: int = 0) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.nulls(rows, kind) for name, kind in schema.items()}), sink)
    return sink.getvalue().to_pybytes()


BROKEN = {
    "truncated": (lambda good: good[: len(good) // 2], "truncated or damaged"),
    "empty": (lambda good: b"", "is empty"),
    "page": (lambda good: b"<!DOCTYPE html><html><body>Service unavailable</body></html>", "web page"),
    "text": (lambda good: b"VendorID,tpep_pickup_datetime\n1,2019-01-01\n", "not a Parquet file"),
    "no zones": (lambda good: parquet({"tpep_pickup_datetime": pa.timestamp("us")}), "pickup_zone is missing"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_does_not_replace_good_one(kind, january, tmp_path):
    folder, lake = tmp_path / "source", Lake(tmp_path / "home")
    path = folder / "trip-data" / file_name("yellow", "2019-01")
    path.parent.mkdir(parents=True)
    path.write_bytes(january)
    good = ingest_file(lake, source(str(folder)), "yellow", "2019-01").receipt
    spoil, reason = BROKEN[kind]
    path.write_bytes(spoil(january))
    with pytest.raises(BrokenFileError, match=reason) as raised:
        ingest_file(lake, source(str(folder)), "yellow", "2019-01")
    assert path.name in str(raised.value)
    assert lake.receipt("yellow", "2019-01") == good
    path.write_bytes(january)
    assert ingest_file(lake, source(str(folder)), "yellow", "2019-01").outcome in (REPUBLISHED, UNCHANGED)


def test_full_disk_is_reported_and_keeps_previous_version(january, tmp_path, monkeypatch):
    folder, lake = tmp_path / "source", Lake(tmp_path / "home")
    path = folder / "trip-data" / file_name("yellow", "2019-01")
    path.parent.mkdir(parents=True)
    path.write_bytes(january)
    good = ingest_file(lake, source(str(folder)), "yellow", "2019-01").receipt
    path.touch()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("logitrack_assets.trips.source.folder.shutil.copyfile", full_disk)
    with pytest.raises(DiskFullError, match=r"yellow_tripdata_2019-01.parquet: no space left"):
        ingest_file(lake, source(str(folder)), "yellow", "2019-01")
    assert lake.receipt("yellow", "2019-01") == good


def test_file_of_another_month_is_refused(tlc_folder, tmp_path):
    path = tmp_path / "source" / "trip-data" / file_name("green", "2023-02")
    path.parent.mkdir(parents=True)
    path.write_bytes((tlc_folder / "trip-data" / file_name("yellow", "2019-01")).read_bytes())
    with pytest.raises(BrokenFileError, match=r"green_tripdata_2023-02.parquet has no trip of 2023-02"):
        ingest_file(Lake(tmp_path), source(str(tmp_path / "source")), "green", "2023-02")
