"""A run over a range of months through every asset: one event per month, in sync, and bad months apart from good ones.

Runs the job `ingest_month` on extracts of green trips: a missing, a truncated and two good months.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    in_process_executor,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG, CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from logitrack_assets.automation.jobs import ingest_month, run_checks
from logitrack_assets.definitions import resources_from_settings
from logitrack_assets.eta.assets import assets as eta_assets
from logitrack_assets.eta.checks import checks as eta_checks
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import COLUMN_ENTRIES, UNVERSIONED
from logitrack_assets.partitions import MONTHS, month_range
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.assets import assets as trip_assets
from logitrack_assets.trips.checks import MONTH_CHECKS, MONTH_COMPLETE
from logitrack_assets.trips.checks import checks as trip_checks
from logitrack_assets.trips.freshness import newest_month_recent
from logitrack_assets.trips.source import file_name
from logitrack_assets.trips.verdicts import BLOCKING_CHECKS, months_to_train

GOOD, TRUNCATED, MISSING = ("2023-01", "2023-03"), "2023-02", "2023-04"
MONTHLY = ("bronze_trips", "silver_trips", "rejected_trips", "analytics_sample", "trip_stats", "eta_drift")


class RangeRuns:
    """A home, a source and an instance of the tests' own."""

    def __init__(self, folder: Path, instance: DagsterInstance) -> None:
        self.source, self.instance, self.lake = folder / "source", instance, Lake(folder / "home")
        self.definitions = Definitions(
            assets=[*trip_assets, *eta_assets],
            asset_checks=[*trip_checks, newest_month_recent, *eta_checks],
            jobs=[ingest_month, run_checks],
            resources=resources_from_settings(get_settings()),
            executor=in_process_executor,
        )

    def run(self, job: str, first: str, last: str) -> ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )

    def events(self, asset: str) -> Counter[str | None]:
        """Return the number of materialisations by month, of all runs."""
        records = self.instance.fetch_materializations(AssetKey(asset), limit=1000).records
        return Counter(record.partition_key for record in records)

    def stale(self) -> list[str]:
        """Return what Dagster's UI would show as unsynced, with its reason."""
        graph = self.definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        return [
            f"{name} {month}: {[cause.reason for cause in resolver.get_stale_causes(AssetKey(name), month)]}"
            for name in MONTHLY
            for month in self.events(name)
            if resolver.get_status(AssetKey(name), month) != StaleStatus.FRESH
        ]

    def check_results(self, run_id: str) -> dict[tuple[str, str | None], bool]:
        """Return whether each check passed in a run, by its name and month."""
        records = self.instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
        found = [record.event_log_entry.get_dagster_event().asset_check_evaluation_data for record in records]
        return {(evaluation.check_name, evaluation.partition): evaluation.passed for evaluation in found}


@pytest.fixture(scope="module")
def runs(spark, postgres: str, tlc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeRuns]:
    from logitrack_assets.database import migrate

    folder = tmp_path_factory.mktemp("range")
    (folder / "source" / "trip-data").mkdir(parents=True)
    for month in (*GOOD, TRUNCATED):
        name = file_name("green", month)
        shutil.copyfile(tlc_folder / "trip-data" / name, folder / "source" / "trip-data" / name)
    truncated = folder / "source" / "trip-data" / file_name("green", TRUNCATED)
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    migrate(postgres)
    with pytest.MonkeyPatch.context() as patch, DagsterInstance.ephemeral() as instance:
        for setting, value in {
            "HOME": folder / "home", "TLC_URL": folder / "source", "FLEETS": "green", "DATABASE_URL": postgres,
            "SAMPLE_ROWS_PER_MONTH": 500,
        }.items():  # fmt: skip
            patch.setenv(f"LOGITRACK_{setting}", str(value))
        get_settings.cache_clear()
        yield RangeRuns(folder, instance)
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def ingested(runs: RangeRuns) -> ExecuteInProcessResult:
    return runs.run("ingest_month", "2023-01", "2023-04")


def test_run_with_bad_months_fails_once_and_names_them(ingested: ExecuteInProcessResult) -> None:
    assert not ingested.success
    (failure,) = [event for event in ingested.all_events if event.is_step_failure]
    assert failure.step_key == MONTH_COMPLETE.name
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert f"[{TRUNCATED}] {file_name('green', TRUNCATED)} is truncated" in (data.description or "")
    assert f" {MISSING} is not published (yet)" in (data.description or "")
    assert set(data.metadata) == {TRUNCATED, MISSING}


def test_good_months_have_their_check_results(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    results = runs.check_results(ingested.run_id)
    for month in GOOD:
        assert all(results[check.name, month] for check in MONTH_CHECKS), month
        assert results[MONTH_COMPLETE.name, month]
    for month in (TRUNCATED, MISSING):
        assert not results[MONTH_COMPLETE.name, month]
        assert [name for name, checked in results if checked == month] == [MONTH_COMPLETE.name]


def test_no_step_logs_a_missing_output(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    checked = runs.run("run_checks", GOOD[0], GOOD[0])
    for run_id in (ingested.run_id, checked.run_id):
        logged = [entry.user_message for entry in runs.instance.all_logs(run_id)]
        assert not [text for text in logged if "did not yield or return" in text]


@pytest.mark.parametrize("asset", MONTHLY)
def test_each_good_month_is_recorded_once_and_bad_months_are_failed(
    runs: RangeRuns, ingested: ExecuteInProcessResult, asset: str
) -> None:
    assert runs.events(asset) == dict.fromkeys(GOOD, 1)
    status = get_and_update_asset_status_cache_value(runs.instance, AssetKey(asset), MONTHS)
    assert status is not None
    failed = status.deserialize_failed_partition_subsets(MONTHS)
    assert set(failed.get_partition_keys()) == {TRUNCATED, MISSING}


@pytest.mark.parametrize("asset", MONTHLY)
def test_bad_month_shows_its_reason(runs: RangeRuns, ingested: ExecuteInProcessResult, asset: str) -> None:
    wanted = AssetRecordsFilter(asset_key=AssetKey(asset), asset_partitions=[TRUNCATED])
    (record,) = runs.instance.fetch_observations(wanted, limit=10).records
    assert record.asset_observation is not None
    reason = str(record.asset_observation.metadata["error"].value)
    assert ("truncated" in reason) == (asset != "eta_drift")
    assert ("silver_trips failed in this run" in reason) == (asset == "eta_drift")


def test_nothing_is_unsynced_after_a_range(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    assert runs.stale() == []


def test_promotion_does_not_make_drift_unsynced(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    """`eta_champion` records this data version; test_training_pipeline checks that."""
    promotion = AssetMaterialization("eta_champion", tags={DATA_VERSION_TAG: UNVERSIONED.value})
    runs.instance.report_runless_asset_event(promotion)
    assert runs.stale() == []


def test_stage_durations_are_numbers_of_each_month(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    stages = {
        "bronze_trips": "download_seconds", "silver_trips": "clean_seconds", "analytics_sample": "sample_seconds",
        "trip_stats": "rollup_seconds", "eta_drift": "drift_seconds",
    }  # fmt: skip
    for asset, entry in stages.items():
        for record in runs.instance.fetch_materializations(AssetKey(asset), limit=10).records:
            assert record.asset_materialization is not None
            assert isinstance(record.asset_materialization.metadata[entry].value, float), asset


def test_lineage_of_a_month_names_the_columns_of_its_files(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    newest = {
        name: runs.instance.fetch_materializations(AssetKey(name), limit=1).records[0].asset_materialization
        for name in ("bronze_trips", "silver_trips")
    }
    schema, lineage = COLUMN_ENTRIES
    files = {column.name for column in newest["bronze_trips"].metadata[schema].value.columns}
    deps = newest["silver_trips"].metadata[lineage].value.deps_by_column
    assert [dep.column_name for dep in deps["pickup_at"]] == ["lpep_pickup_datetime"]
    assert {dep.column_name for columns in deps.values() for dep in columns} <= files
    assert {dep.column_name for dep in deps["duration_minutes"]} == {"lpep_pickup_datetime", "lpep_dropoff_datetime"}


def test_corrupted_month_fails_by_name_and_is_not_trained_on(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    assert months_to_train(runs.lake, print) == list(GOOD)
    assert runs.run("run_checks", GOOD[0], GOOD[0]).success is False, "there is no model yet: its gates fail"
    file = next(runs.lake.silver(GOOD[0]).glob("*.parquet"))
    whole = file.read_bytes()
    pq.write_table(pq.ParquetFile(file).read().slice(1), file)
    try:
        checked = runs.check_results(runs.run("run_checks", "2023-01", "2023-03").run_id)
        assert not checked["row_count_reconciles", GOOD[0]]
        assert not checked[MONTH_COMPLETE.name, GOOD[0]]
        assert checked["row_count_reconciles", GOOD[1]]
        left_out: list[str] = []
        assert months_to_train(runs.lake, left_out.append) == [GOOD[1]]
        assert left_out[0].startswith(f"{GOOD[0]} is not trained on: row_count_reconciles: {GOOD[0]}: 3,")
    finally:
        file.write_bytes(whole)
        runs.run("run_checks", GOOD[0], GOOD[0])
    assert months_to_train(runs.lake, print) == list(GOOD)


def test_unchecked_month_is_checked_before_training(runs: RangeRuns, ingested: ExecuteInProcessResult) -> None:
    for month in GOOD:
        (runs.lake.silver(month) / "_checks.json").unlink()
    assert months_to_train(runs.lake, print) == list(GOOD)
    for month in GOOD:
        assert set(runs.lake.check_results(month) or {}) == set(BLOCKING_CHECKS)


def test_repaired_month_is_in_sync_with_one_more_event(
    runs: RangeRuns, ingested: ExecuteInProcessResult, tlc_folder: Path
) -> None:
    name = file_name("green", TRUNCATED)
    shutil.copyfile(tlc_folder / "trip-data" / name, runs.source / "trip-data" / name)
    result = runs.run("ingest_month", TRUNCATED, TRUNCATED)
    assert result.success
    for asset in MONTHLY:
        assert runs.events(asset) == dict.fromkeys([*GOOD, TRUNCATED], 1)
    assert runs.stale() == []
    assert runs.run("ingest_month", "2023-01", "2023-03").success
    for asset in MONTHLY:
        assert runs.events(asset) == dict.fromkeys(month_range("2023-01", "2023-03"), 2)
    assert runs.stale() == []
    assert json.loads((runs.lake.silver(TRUNCATED) / "_checks.json").read_text())["problems"]["schema_matches"] == []
