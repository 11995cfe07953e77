"""Each published month is launched once, and a source that is down changes nothing."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_schedule_context, build_sensor_context

from logitrack_assets.automation import published_months
from logitrack_assets.automation.published_months import (
    PROBE_TIMEOUT_SECONDS,
    LaunchedIngest,
    decode_launches,
    encode_launches,
    ingest_monthly,
    ingest_published_months,
    months_due,
    months_to_probe,
    probe_files,
    run_requests,
)
from logitrack_assets.lake import RECEIPT, Lake
from logitrack_assets.resources import LakeResource
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.source import PublishedFile, Source, SourceError

NOW = datetime(2020, 6, 15, tzinfo=UTC)


def _publish(base: Path, fleet: str, month: str, content: bytes = b"trips") -> None:
    folder = base / "trip-data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{fleet}_tripdata_{month}.parquet").write_bytes(content)


def _ingest(lake: Lake, source: Source, fleet: str, month: str) -> None:
    published = source.probe(fleet, month)
    assert published is not None
    lake.bronze(fleet, month).mkdir(parents=True)
    receipt = {"etag": published.etag, "bytes": published.bytes, "sha256": "0"}
    (lake.bronze(fleet, month) / RECEIPT).write_text(json.dumps(receipt))
    lake.silver(month).mkdir(parents=True, exist_ok=True)


def _due(
    lake: Lake, source: Source, fleets: list[str], launched: dict[str, LaunchedIngest], now: datetime
) -> dict[str, dict[str, str]]:
    found = probe_files(source, months_to_probe(lake, fleets, now), published_months.MAX_PROBE_SECONDS)
    return months_due(lake, found, launched, now)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for month in ("2020-01", "2020-02", "2020-03", "2020-05"):
        _publish(tmp_path / "source", "yellow", month)
    return tmp_path / "source"


@pytest.fixture
def lake(tmp_path: Path, base: Path) -> Lake:
    lake = Lake(tmp_path / "home")
    _ingest(lake, Source(str(base)), "yellow", "2020-01")
    return lake


def test_empty_lake_probes_nothing(tmp_path: Path) -> None:
    assert months_to_probe(Lake(tmp_path), ["yellow"], NOW) == []


def test_new_months_become_one_run_per_contiguous_range(lake: Lake, base: Path) -> None:
    due = _due(lake, Source(str(base)), ["yellow"], {}, NOW)
    assert sorted(due) == ["2020-02", "2020-03", "2020-05"]
    ranges = [
        (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in run_requests(due, NOW)
    ]
    assert ranges == [("2020-02", "2020-03"), ("2020-05", "2020-05")]


def test_launched_month_is_launched_again_after_a_day(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = _due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    assert _due(lake, source, ["yellow"], launched, NOW + timedelta(hours=23)) == {}
    assert _due(lake, source, ["yellow"], launched, NOW + timedelta(hours=25)) == due
    # The clock was two days ahead at the launch and was then set back.
    assert _due(lake, source, ["yellow"], launched, NOW - timedelta(hours=1)) == {}
    assert _due(lake, source, ["yellow"], launched, NOW - timedelta(days=2)) == due


def test_republished_month_is_due_at_once(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = _due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    _publish(base, "yellow", "2020-01", b"corrected trips")
    assert sorted(_due(lake, source, ["yellow"], launched, NOW)) == ["2020-01"]


def test_new_fleet_is_due_from_the_first_month_of_the_lake(lake: Lake, base: Path) -> None:
    _publish(base, "green", "2020-02")
    due = _due(lake, Source(str(base)), ["yellow", "green"], {}, NOW)
    assert set(due["2020-02"]) == {"yellow", "green"}
    assert set(due["2020-03"]) == {"yellow"}


def test_ingested_months_leave_the_cursor(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = _due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    _ingest(lake, source, "yellow", "2020-02")
    assert sorted(decode_launches(encode_launches(launched, {}, lake, NOW))) == ["yellow/2020-03", "yellow/2020-05"]


def test_source_that_is_down_raises_source_error(lake: Lake, base: Path) -> None:
    with pytest.raises(SourceError):
        _due(lake, Source("http://127.0.0.1:9", attempts=1), ["yellow"], {}, NOW)


def test_sensor_launches_once_and_skips_while_the_source_is_down(lake: Lake, base: Path) -> None:
    resources = {
        "lake": LakeResource(home=str(lake.home)),
        "source": TlcSource(base_url=str(base), fleets=["yellow"], sample_rows_per_month=100),
    }
    with DagsterInstance.ephemeral() as instance:

        def tick(cursor: str | None) -> SensorResult | SkipReason:
            context = build_sensor_context(instance=instance, cursor=cursor, resources=resources)
            result = ingest_published_months(context)
            assert isinstance(result, SensorResult | SkipReason)
            return result

        first = tick(None)
        assert isinstance(first, SensorResult)
        assert len(first.run_requests or []) == 2
        again = tick(first.cursor)
        assert isinstance(again, SkipReason)
        base.rename(base.with_name("gone"))
        down = tick(first.cursor)
        assert isinstance(down, SkipReason)
        assert "down" in (down.skip_message or "")


@contextmanager
def _http_server(respond: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the address of a server that accepts every connection and calls `respond` with it in a thread."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(256)

        def accept() -> None:
            with contextlib.suppress(OSError):  # the end of the test closes the server
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=respond, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _evaluate(lake: Lake, address: str) -> tuple[str, float]:
    """Return why the sensor skipped its tick, and the seconds that the tick took."""
    resources = {
        "lake": LakeResource(home=str(lake.home)),
        "source": TlcSource(base_url=address, fleets=["yellow", "green"], sample_rows_per_month=100),
    }
    started = time.monotonic()
    with DagsterInstance.ephemeral() as instance:
        result = ingest_published_months(build_sensor_context(instance=instance, resources=resources))
    assert isinstance(result, SkipReason)
    return result.skip_message or "", time.monotonic() - started


def test_source_that_accepts_and_never_answers_is_named_within_seconds(lake: Lake) -> None:
    connections: list[socket.socket] = []
    with _http_server(connections.append) as address:
        reason, seconds = _evaluate(lake, address)
    for connection in connections:
        connection.close()
    assert reason.startswith("The source is down")
    assert address in reason
    assert seconds < PROBE_TIMEOUT_SECONDS + 3


def test_all_probes_of_a_slow_source_together_are_bounded(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each response comes after less than the timeout of a probe, all of them would take more than a minute."""
    monkeypatch.setattr(published_months, "MAX_PROBE_SECONDS", 2.0)

    def respond_late(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            time.sleep(1.5)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    with _http_server(respond_late) as address:
        reason, seconds = _evaluate(lake, address)
    assert re.match(r"The source is slow: [1-8] of 120 files were probed in 2 s\.", reason), reason
    assert seconds < 5


def test_months_found_before_the_limit_are_launched(lake: Lake, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(str(base))
    monkeypatch.setattr(published_months, "MAX_PROBE_SECONDS", 0.5)
    released = threading.Event()

    def probe(self: Source, fleet: str, month: str) -> PublishedFile | None:
        if month < "2020-05":
            released.wait(10)
        return real(self, fleet, month)

    real = Source.probe
    monkeypatch.setattr(Source, "probe", probe)
    try:
        assert sorted(_due(lake, source, ["yellow"], {}, NOW)) == ["2020-05"]
    finally:
        released.set()


def test_schedule_launches_the_month_published_about_then() -> None:
    context = build_schedule_context(scheduled_execution_time=datetime(2020, 8, 20, 11, tzinfo=UTC))
    assert ingest_monthly(context).partition_key == "2020-06"
