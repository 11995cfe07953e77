"""A table is as fresh as its newest month, whenever that was materialised."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from dagster import (
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    Definitions,
    define_asset_job,
)
from dagster import AssetSelection as Selection

from logitrack_assets.partitions import MONTHS
from logitrack_assets.trips.freshness import READ_BY_USERS, due_date, month_age, newest_month_recent
from logitrack_assets.trips.resources import TlcSource

DUE = date(2024, 4, 1)


def test_month_is_due_two_months_after_its_end() -> None:
    assert due_date("2024-01") == DUE
    assert due_date("2023-11") == date(2024, 2, 1)


@pytest.mark.parametrize(
    ("days", "passed", "severity"),
    [
        (-10, True, AssetCheckSeverity.WARN),
        (38, True, AssetCheckSeverity.WARN),
        (39, False, AssetCheckSeverity.WARN),
        (45, False, AssetCheckSeverity.WARN),
        (46, False, AssetCheckSeverity.ERROR),
    ],
)
def test_warning_after_38_days_and_error_after_45(days: int, passed: bool, severity: AssetCheckSeverity) -> None:
    age = month_age("2024-01", DUE + timedelta(days=days))
    assert (age.passed, age.severity) == (passed, severity)
    assert ("a warning after 38 days, an error after 45" in age.text) is not passed


@pytest.mark.parametrize(("source", "passed"), [("https://example.org", False), ("/folder", True)])
def test_backfilled_month_is_not_fresh_where_the_source_is_a_server(source: str, passed: bool) -> None:
    definitions = Definitions(
        assets=[AssetSpec(name, partitions_def=MONTHS) for name in READ_BY_USERS],
        asset_checks=[newest_month_recent],
        jobs=[define_asset_job("check", selection=Selection.checks(newest_month_recent))],
        resources={"source": TlcSource(base_url=source, fleets=["green"], sample_rows_per_month=1)},
    )
    with DagsterInstance.ephemeral() as instance:
        for month in ("2019-01", "2018-12"):  # materialised now, the older one last
            instance.report_runless_asset_event(AssetMaterialization(AssetKey("silver_trips"), partition=month))
        result = definitions.resolve_job_def("check").execute_in_process(instance=instance)
    found = {check.asset_key.to_user_string(): check for check in result.get_asset_check_evaluations()}
    assert found["silver_trips"].passed is passed
    assert found["silver_trips"].metadata["newest_month"].value == "2019-01"
    assert found["trip_stats"].description == "No month yet."
