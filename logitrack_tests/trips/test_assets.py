"""How the multi-asset records months, retries and fails; the steps themselves are replaced, so no Spark is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, AssetSelection, DagsterInstance, ExecuteInProcessResult, materialize

from logitrack_assets.definitions import resources_from_settings
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import get_settings
from logitrack_assets.trips import assets
from logitrack_assets.trips.asset_names import TRIP_ASSETS
from logitrack_assets.trips.assets import AssetResult
from logitrack_assets.trips.errors import BrokenFileError
from logitrack_assets.trips.source import SourceUnavailableError

FIRST, SECOND, THIRD = "2023-01", "2023-02", "2023-03"
Step = Callable[[object, str], Iterator[tuple[str, AssetResult]]]
Run = Callable[[Step], tuple[ExecuteInProcessResult, Counter[str | None]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Materialise three months with a replaced step and without checks; return the events of `trip_stats` by month."""
    monkeypatch.setenv("LOGITRACK_HOME", str(tmp_path))
    monkeypatch.setenv("LOGITRACK_TLC_URL", str(tmp_path))
    monkeypatch.setattr(assets, "RETRY_SECONDS", 0)
    get_settings.cache_clear()

    def run(step: Step) -> tuple[ExecuteInProcessResult, Counter[str | None]]:
        monkeypatch.setattr(assets, "materialize_month", step)
        with DagsterInstance.ephemeral() as instance:
            result = materialize(
                assets.assets,
                selection=AssetSelection.assets(*TRIP_ASSETS).without_checks(),
                instance=instance,
                resources=resources_from_settings(get_settings()),
                tags={"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": THIRD},
                raise_on_error=False,
            )
            records = instance.fetch_materializations(AssetKey("trip_stats"), limit=100).records
        return result, Counter(record.partition_key for record in records)

    yield run
    get_settings.cache_clear()


def _month(month: str) -> Iterator[tuple[str, AssetResult]]:
    yield from ((name, AssetResult({"version": month}, month)) for name in TRIP_ASSETS)


def _description(result: ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def test_retry_continues_with_the_months_that_are_not_recorded(run: Run) -> None:
    attempts: Counter[str] = Counter()

    def step(_: object, month: str) -> Iterator[tuple[str, AssetResult]]:
        attempts[month] += 1
        if month == SECOND and attempts[month] == 1:
            raise SourceUnavailableError("the source does not answer")
        yield from _month(month)

    result, events = run(step)
    assert result.success
    assert events == {FIRST: 1, SECOND: 1, THIRD: 1}
    assert attempts == {FIRST: 1, SECOND: 2, THIRD: 1}


def test_outage_that_outlasts_the_retries_fails_and_counts_months_not_tried(run: Run) -> None:
    def step(_: object, month: str) -> Iterator[tuple[str, AssetResult]]:
        if month == SECOND:
            raise SourceUnavailableError("the source does not answer")
        yield from _month(month)

    result, events = run(step)
    assert events == {FIRST: 1}
    assert _description(result) == (
        f"[{SECOND}] the source does not answer 1 other months are published. 1 months were not tried."
    )


def test_bad_month_fails_the_step_in_a_run_without_month_complete(run: Run) -> None:
    def step(_: object, month: str) -> Iterator[tuple[str, AssetResult]]:
        if month == SECOND:
            raise BrokenFileError("the file is truncated")
        yield from _month(month)

    result, events = run(step)
    assert events == {FIRST: 1, THIRD: 1}
    assert _description(result) == f"[{SECOND}] the file is truncated 2 other months are published."


def test_part_of_a_bad_month_is_recorded(run: Run) -> None:
    def step(_: object, month: str) -> Iterator[tuple[str, AssetResult]]:
        for name, asset in _month(month):
            if month == THIRD and name == "trip_stats":
                raise LogitrackError("the rollups could not be computed")
            yield name, asset

    result, events = run(step)
    assert events == {FIRST: 1, SECOND: 1}
    assert not result.success
