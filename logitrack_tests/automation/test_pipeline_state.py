"""What the service is told of the pipeline: states of months with reasons, runs that do not go on, silent parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetMaterialization,
    AssetObservation,
    DagsterInstance,
    DagsterRunStatus,
    SkipReason,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import create_engine, text

from logitrack_assets.automation.conditions import record_source_state
from logitrack_assets.automation.pipeline_state import (
    MonthFailure,
    PipelineMonth,
    failed_months,
    pipeline_months,
    publish_pipeline_state,
    read_published,
    recent_runs,
    record_published,
    source_health,
)
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.materializations import ERROR
from logitrack_assets.platform_health import PlatformResource
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.run_workers import MAX_WAIT
from logitrack_assets.trips.asset_names import BRONZE, SILVER
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.source import PublishedFile
from logitrack_assets.trips.verdicts import BLOCKING_CHECKS
from logitrack_assets.warehouse import Warehouse

NOW = datetime(2020, 6, 15, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp() as instance:
        yield instance


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with one month that passed its checks."""
    lake = Lake(tmp_path)
    lake.silver("2020-01").mkdir(parents=True)
    (lake.silver("2020-01") / MANIFEST).write_text('{"version": "1"}')
    lake.record_check_results("2020-01", "1", {name: [] for name in BLOCKING_CHECKS})
    return lake


def fail_month(instance: DagsterInstance, asset: str, month: str, reason: str) -> None:
    instance.report_runless_asset_event(AssetObservation(asset, partition=month, metadata={ERROR: reason}))


def test_a_month_that_could_not_be_ingested_is_failed_until_it_is(instance: DagsterInstance, lake: Lake) -> None:
    assert failed_months(instance, lake) == {}
    fail_month(instance, BRONZE, "2020-02", "not published")
    fail_month(instance, BRONZE, "2020-02", "the file is broken")
    assert failed_months(instance, lake)["2020-02"].reason == "the file is broken"
    instance.report_runless_asset_event(AssetMaterialization(BRONZE, partition="2020-02"))
    assert failed_months(instance, lake) == {}
    fail_month(instance, SILVER, "2020-02", "no trips")
    assert list(failed_months(instance, lake)) == ["2020-02"]


def test_a_month_that_failed_a_blocking_check_is_failed(instance: DagsterInstance, lake: Lake) -> None:
    lake.record_check_results("2020-01", "1", {"row_count_reconciles": ["a row is missing"]})
    assert failed_months(instance, lake) == {"2020-01": MonthFailure("row_count_reconciles: a row is missing", None)}


def test_months_reach_from_the_first_to_the_last_known_one() -> None:
    published = {("yellow", "2020-03"): True, ("green", "2020-03"): False, ("yellow", "2020-09"): False}
    rows = pipeline_months(["yellow", "green"], ["2020-01"], published, {"2020-02": MonthFailure("broken", "run-1")})
    assert rows == [
        PipelineMonth("2020-01", "yellow", None, None, None),
        PipelineMonth("2020-01", "green", None, None, None),
        PipelineMonth("2020-02", "yellow", None, "broken", "run-1"),
        PipelineMonth("2020-02", "green", None, "broken", "run-1"),
        PipelineMonth("2020-03", "yellow", True, None, None),
        PipelineMonth("2020-03", "green", False, None, None),
    ]
    assert pipeline_months(["yellow"], [], {("yellow", "2020-09"): False}, {}) == []


def test_probes_are_remembered(instance: DagsterInstance) -> None:
    file = PublishedFile("https://tlc/a", 1, "x")
    record_published(instance, {("yellow", "2020-01"): file, ("yellow", "2020-02"): None})
    record_published(instance, {("yellow", "2020-02"): file})
    assert read_published(instance) == {("yellow", "2020-01"): True, ("yellow", "2020-02"): True}


def test_runs_have_months_times_and_problems(instance: DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": "2020-01", "dagster/asset_partition_range_end": "2020-03"}
    create_run_for_test(instance, job_name="ingest_month", status=DagsterRunStatus.SUCCESS, tags=tags)
    create_run_for_test(
        instance, job_name="retrain_eta", status=DagsterRunStatus.NOT_STARTED, tags={"logitrack/reason": "drift"}
    )
    queued, ended = recent_runs(instance, datetime.now(UTC))
    assert (ended.job, ended.status, ended.first_month, ended.last_month) == (
        "ingest_month", "SUCCESS", "2020-01", "2020-03",
    )  # fmt: skip
    assert (queued.job, queued.reason, queued.first_month, queued.problem) == ("retrain_eta", "drift", None, None)
    waiting, _ = recent_runs(instance, datetime.now(UTC) + MAX_WAIT + timedelta(minutes=1))
    assert "has not started since" in (waiting.problem or "")


def test_a_silent_source_is_degraded(instance: DagsterInstance) -> None:
    assert source_health(instance, "https://tlc")["status"] == "ok"
    record_source_state(instance, reachable=False, now=NOW)
    assert source_health(instance, "https://tlc") == {
        "status": "degraded",
        "fact": "https://tlc has not answered since 2020-06-15 00:00 UTC.",
        "hint": "New months are ingested once it answers.",
    }


def test_the_sensor_replaces_the_stored_state(
    instance: DagsterInstance, lake: Lake, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WarehouseResource, "open", lambda _: Warehouse(database_url))
    monkeypatch.setattr(
        PlatformResource, "parts", lambda *_: {"daemon": {"status": "ok", "fact": "Alive.", "hint": None}}
    )
    resources = {
        "lake": LakeResource(home=str(lake.home)),
        "warehouse": WarehouseResource(),
        "source": TlcSource(base_url="/nowhere", fleets=["yellow"], sample_rows_per_month=1),
        "platform": PlatformResource(),
    }
    run = create_run_for_test(instance, job_name="ingest_month", status=DagsterRunStatus.SUCCESS)
    fail_month(instance, BRONZE, "2020-02", "a reason\twith\na tab")
    for _ in range(2):
        result = publish_pipeline_state(build_sensor_context(instance=instance, resources=resources))
        assert isinstance(result, SkipReason)
        assert result.skip_message == "1 runs and 2 months written."
    engine = create_engine(database_url)
    with engine.connect() as connection:
        months = connection.execute(text("select month, failure from warehouse.pipeline_months order by 1")).all()
        runs = connection.execute(text("select run_id, status from warehouse.pipeline_runs")).all()
        parts = connection.execute(text("select part, status from warehouse.pipeline_health order by 1")).all()
    engine.dispose()
    assert months == [("2020-01", None), ("2020-02", "a reason\twith\na tab")]
    assert runs == [(run.run_id, "SUCCESS")]
    assert parts == [("daemon", "ok"), ("source", "ok")]
