"""The source is asked cheaply, each month is launched once, and a source that is down costs nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_schedule_context, build_sensor_context

from logitrack_assets.automation.published_months import (
    ingest_monthly,
    ingest_published_months,
    months_due,
    months_to_probe,
    read_cursor,
    run_requests,
    write_cursor,
)
from logitrack_assets.lake import RECEIPT, Lake
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.source import Source, SourceError

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


def test_an_empty_lake_asks_nothing(tmp_path: Path) -> None:
    assert months_to_probe(Lake(tmp_path), ["yellow"], NOW) == []


def test_new_months_become_one_run_for_each_stretch(lake: Lake, base: Path) -> None:
    due = months_due(lake, Source(str(base)), ["yellow"], {}, NOW)
    assert sorted(due) == ["2020-02", "2020-03", "2020-05"]
    stretches = [
        (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in run_requests(due, NOW)
    ]
    assert stretches == [("2020-02", "2020-03"), ("2020-05", "2020-05")]


def test_what_was_launched_is_not_launched_again_until_a_day_has_passed(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = read_cursor(write_cursor({}, due, lake, NOW))
    assert months_due(lake, source, ["yellow"], launched, NOW + timedelta(hours=23)) == {}
    assert months_due(lake, source, ["yellow"], launched, NOW + timedelta(hours=25)) == due
    # The machine's clock was two days ahead when they were launched, and was then set back.
    assert months_due(lake, source, ["yellow"], launched, NOW - timedelta(hours=1)) == {}
    assert months_due(lake, source, ["yellow"], launched, NOW - timedelta(days=2)) == due


def test_a_republished_month_is_due_at_once(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = read_cursor(write_cursor({}, due, lake, NOW))
    _publish(base, "yellow", "2020-01", b"corrected trips")
    assert sorted(months_due(lake, source, ["yellow"], launched, NOW)) == ["2020-01"]


def test_a_new_fleet_is_due_from_the_first_month_of_the_lake(lake: Lake, base: Path) -> None:
    _publish(base, "green", "2020-02")
    due = months_due(lake, Source(str(base)), ["yellow", "green"], {}, NOW)
    assert set(due["2020-02"]) == {"yellow", "green"}
    assert set(due["2020-03"]) == {"yellow"}


def test_arrived_months_leave_the_cursor(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = read_cursor(write_cursor({}, due, lake, NOW))
    _ingest(lake, source, "yellow", "2020-02")
    assert sorted(read_cursor(write_cursor(launched, {}, lake, NOW))) == ["yellow/2020-03", "yellow/2020-05"]


def test_a_source_that_is_down_is_no_answer(lake: Lake, base: Path) -> None:
    with pytest.raises(SourceError):
        months_due(lake, Source("http://127.0.0.1:9", attempts=1), ["yellow"], {}, NOW)


def test_the_sensor_launches_once_and_keeps_its_cursor_while_the_source_is_down(
    lake: Lake, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGITRACK_HOME", str(lake.home))
    monkeypatch.setenv("LOGITRACK_TLC_URL", str(base))
    get_settings.cache_clear()
    try:
        with DagsterInstance.ephemeral() as instance:
            first = ingest_published_months(build_sensor_context(instance=instance))
            assert isinstance(first, SensorResult)
            assert len(first.run_requests or []) == 2
            again = ingest_published_months(build_sensor_context(instance=instance, cursor=first.cursor))
            assert isinstance(again, SkipReason)
            base.rename(base.with_name("gone"))
            down = ingest_published_months(build_sensor_context(instance=instance, cursor=first.cursor))
            assert isinstance(down, SkipReason)
            assert "down" in (down.skip_message or "")
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_the_schedule_asks_for_the_month_that_comes_out_then() -> None:
    context = build_schedule_context(scheduled_execution_time=datetime(2020, 8, 20, 11, tzinfo=UTC))
    assert ingest_monthly(context).partition_key == "2020-06"
