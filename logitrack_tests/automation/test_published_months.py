"""Each published month is launched once, and a source that is down changes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_schedule_context, build_sensor_context

from logitrack_assets.automation.published_months import (
    decode_launches,
    encode_launches,
    ingest_monthly,
    ingest_published_months,
    months_due,
    months_to_probe,
    run_requests,
)
from logitrack_assets.lake import RECEIPT, Lake
from logitrack_assets.resources import LakeResource
from logitrack_assets.trips.resources import TlcSource
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


def test_empty_lake_probes_nothing(tmp_path: Path) -> None:
    assert months_to_probe(Lake(tmp_path), ["yellow"], NOW) == []


def test_new_months_become_one_run_per_contiguous_range(lake: Lake, base: Path) -> None:
    due = months_due(lake, Source(str(base)), ["yellow"], {}, NOW)
    assert sorted(due) == ["2020-02", "2020-03", "2020-05"]
    ranges = [
        (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])
        for request in run_requests(due, NOW)
    ]
    assert ranges == [("2020-02", "2020-03"), ("2020-05", "2020-05")]


def test_launched_month_is_launched_again_after_a_day(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    assert months_due(lake, source, ["yellow"], launched, NOW + timedelta(hours=23)) == {}
    assert months_due(lake, source, ["yellow"], launched, NOW + timedelta(hours=25)) == due
    # The clock was two days ahead at the launch and was then set back.
    assert months_due(lake, source, ["yellow"], launched, NOW - timedelta(hours=1)) == {}
    assert months_due(lake, source, ["yellow"], launched, NOW - timedelta(days=2)) == due


def test_republished_month_is_due_at_once(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    _publish(base, "yellow", "2020-01", b"corrected trips")
    assert sorted(months_due(lake, source, ["yellow"], launched, NOW)) == ["2020-01"]


def test_new_fleet_is_due_from_the_first_month_of_the_lake(lake: Lake, base: Path) -> None:
    _publish(base, "green", "2020-02")
    due = months_due(lake, Source(str(base)), ["yellow", "green"], {}, NOW)
    assert set(due["2020-02"]) == {"yellow", "green"}
    assert set(due["2020-03"]) == {"yellow"}


def test_ingested_months_leave_the_cursor(lake: Lake, base: Path) -> None:
    source = Source(str(base))
    due = months_due(lake, source, ["yellow"], {}, NOW)
    launched = decode_launches(encode_launches({}, due, lake, NOW))
    _ingest(lake, source, "yellow", "2020-02")
    assert sorted(decode_launches(encode_launches(launched, {}, lake, NOW))) == ["yellow/2020-03", "yellow/2020-05"]


def test_source_that_is_down_raises_source_error(lake: Lake, base: Path) -> None:
    with pytest.raises(SourceError):
        months_due(lake, Source("http://127.0.0.1:9", attempts=1), ["yellow"], {}, NOW)


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


def test_schedule_launches_the_month_published_about_then() -> None:
    context = build_schedule_context(scheduled_execution_time=datetime(2020, 8, 20, 11, tzinfo=UTC))
    assert ingest_monthly(context).partition_key == "2020-06"
