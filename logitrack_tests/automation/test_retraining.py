"""A training has a reason, one run per reason, and waits until ingestion has ended."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from logitrack_assets.automation.retraining import (
    active_job,
    cooldown_end,
    drift_trigger,
    last_training,
    live_error_trigger,
    new_months_trigger,
)
from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, RECEIPT, Lake
from logitrack_assets.warehouse import Warehouse

Connection = psycopg.Connection[Any]


def _manifest(*training: tuple[str, str, str], mae: float = 4.0) -> Manifest:
    """Return a manifest with the fields that these decisions read."""
    rows = [SimpleNamespace(month=month, fleet=fleet, bronze_sha256=digest) for month, fleet, digest in training]
    return cast(
        Manifest,
        SimpleNamespace(
            version="20200201T000000-abcdef",
            training=rows,
            trained_through=max((row.month for row in rows), default=""),
            metrics=SimpleNamespace(mae_minutes=mae),
        ),
    )


def _month(lake: Lake, month: str, digest: str, fleet: str = "yellow") -> None:
    lake.bronze(fleet, month).mkdir(parents=True, exist_ok=True)
    (lake.bronze(fleet, month) / RECEIPT).write_text(json.dumps({"sha256": digest}))
    lake.silver(month).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    _month(lake, "2020-01", "a")
    _month(lake, "2020-02", "b")
    return lake


class TestNewMonths:
    def test_every_month_is_new_without_a_model(self, lake: Lake) -> None:
        due = new_months_trigger(lake, None)
        assert due is not None
        assert due.reason == "new months: 2020-01, 2020-02"

    def test_empty_lake_has_no_new_months(self, tmp_path: Path) -> None:
        assert new_months_trigger(Lake(tmp_path), None) is None

    def test_months_of_the_newest_model_are_not_new(self, lake: Lake) -> None:
        assert new_months_trigger(lake, _manifest(("2020-01", "yellow", "a"), ("2020-02", "yellow", "b"))) is None

    def test_republished_month_is_new(self, lake: Lake) -> None:
        due = new_months_trigger(lake, _manifest(("2020-01", "yellow", "a"), ("2020-02", "yellow", "before")))
        assert due is not None
        assert "2020-02" in due.reason

    def test_months_before_the_training_window_are_not_new(self, lake: Lake) -> None:
        assert new_months_trigger(lake, _manifest(("2020-02", "yellow", "b"))) is None

    def test_month_that_failed_a_blocking_check_is_not_new(self, lake: Lake) -> None:
        write_json(lake.silver("2020-02") / MANIFEST, {"version": "x"})
        lake.record_check_results("2020-02", "x", {"row_count_reconciles": ["a row is missing"]})
        assert new_months_trigger(lake, _manifest(("2020-01", "yellow", "a"))) is None
        write_json(lake.silver("2020-02") / MANIFEST, {"version": "cleaned again"})
        due = new_months_trigger(lake, _manifest(("2020-01", "yellow", "a")))
        assert due is not None
        assert due.reason == "new months: 2020-02"

    def test_key_is_equal_for_one_batch_and_differs_for_the_next(self, lake: Lake) -> None:
        seen = _manifest(("2020-01", "yellow", "a"))
        first, again = new_months_trigger(lake, seen), new_months_trigger(lake, seen)
        _month(lake, "2020-03", "c")
        later = new_months_trigger(lake, seen)
        assert first is not None
        assert again is not None
        assert later is not None
        assert first.key == again.key != later.key


@pytest.fixture
def connection(database_url: str) -> Any:
    with Warehouse(database_url).connect() as connection:
        yield connection


class TestDrift:
    CHAMPION = _manifest(("2020-02", "yellow", "b"))

    def _insert(self, connection: Connection, month: str, drifted: bool, version: str | None = None) -> None:
        connection.execute(
            "insert into warehouse.eta_drift "
            "(month, fleet, model_version, measure, value, threshold, drifted, computed_at) "
            "values (%(month)s, 'yellow', %(version)s, 'volume', 0.9, 0.5, %(drifted)s, now())",
            {"month": month, "version": version or self.CHAMPION.version, "drifted": drifted},
        )

    def test_drift_of_a_later_month_is_a_trigger(self, connection: Connection) -> None:
        self._insert(connection, "2020-03", drifted=True)
        due = drift_trigger(connection, self.CHAMPION)
        assert due is not None
        assert due.cooldown
        assert due.reason == "drift in 2020-03 (volume)"

    @pytest.mark.parametrize(
        ("month", "drifted", "version"),
        [("2020-03", False, None), ("2020-02", True, None), ("2020-03", True, "another")],
    )
    def test_no_drift_earlier_months_and_other_versions_are_no_trigger(
        self, connection: Connection, month: str, drifted: bool, version: str | None
    ) -> None:
        self._insert(connection, month, drifted, version)
        assert drift_trigger(connection, self.CHAMPION) is None


class TestLiveError:
    CHAMPION = _manifest(("2020-02", "yellow", "b"), mae=4.0)

    def _account(self, connection: Connection, *, vouched: bool = True) -> int:
        name = uuid.uuid4().hex
        row = connection.execute(
            "insert into service.accounts (username, normalized_username, password_hash, vouched)"
            " values (%s, %s, '', %s) returning account_id",
            (name, name, vouched),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _outcomes(
        self, connection: Connection, count: int, error: float, *, account_id: int | None = None, predicted: float = 10
    ) -> None:
        """Report outcomes of rides of two hours ago between zones that are 2 miles apart."""
        account = self._account(connection) if account_id is None else account_id
        connection.execute(
            "with logged as (insert into service.predictions (prediction_id, at, account_id, model_version, fleet,"
            " pickup_zone, dropoff_zone, pickup_at, duration_minutes, low_minutes, high_minutes, level, support,"
            " extrapolating) select gen_random_uuid(), now() - interval '2 hours', %(account)s, %(version)s, 'yellow',"
            " 236, 161, (now() - interval '2 hours') at time zone 'America/New_York', %(predicted)s, 5, 20, 0.8, 9,"
            " false from generate_series(1, %(count)s) returning prediction_id)"
            " insert into service.outcomes (prediction_id, account_id, duration_minutes)"
            " select prediction_id, %(account)s, %(actual)s from logged",
            {
                "account": account,
                "version": self.CHAMPION.version,
                "predicted": predicted,
                "actual": predicted + error,
                "count": count,
            },
        )

    def test_many_bad_predictions_are_a_trigger(self, connection: Connection) -> None:
        self._outcomes(connection, 500, error=6)
        due = live_error_trigger(connection, self.CHAMPION, worse_by=0.25)
        assert due is not None
        assert due.reason == "live error 6.00 minutes over 500 trips, test error 4.00"

    def test_few_bad_predictions_are_no_trigger(self, connection: Connection) -> None:
        self._outcomes(connection, 20, error=60)
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None

    def test_error_within_the_margin_is_no_trigger(self, connection: Connection) -> None:
        self._outcomes(connection, 500, error=4.5)
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None

    def test_fresh_account_with_bad_outcomes_is_no_trigger(self, connection: Connection) -> None:
        stranger = self._account(connection, vouched=False)
        self._outcomes(connection, 600, error=60, account_id=stranger)
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None
        connection.execute("update service.accounts set vouched = true where account_id = %s", (stranger,))
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is not None

    @pytest.mark.parametrize("real", [1_440, 0.5, 181, 1.2])
    def test_implausible_outcomes_are_stored_and_do_not_count(self, connection: Connection, real: float) -> None:
        self._outcomes(connection, 600, error=real - 10)
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None
        stored = connection.execute("select count(*) from analytics.outcomes where not plausible").fetchone()
        assert stored == (600,)

    def test_one_lying_account_of_three_is_no_trigger(self, connection: Connection) -> None:
        for error in (3.0, 4.0):
            self._outcomes(connection, 300, error=error)
        self._outcomes(connection, 100_000, error=90)
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None

    def test_few_extreme_outcomes_of_an_honest_account_are_no_trigger(self, connection: Connection) -> None:
        account = self._account(connection)
        self._outcomes(connection, 970, error=4, account_id=account)
        self._outcomes(connection, 30, error=150, account_id=account)  # a plain mean is 8.4
        assert live_error_trigger(connection, self.CHAMPION, worse_by=0.25) is None


def test_active_job_finds_queued_and_running_runs() -> None:
    with DagsterInstance.ephemeral() as instance:
        assert active_job(instance, ["ingest_month"]) is None
        assert last_training(instance) is None
        create_run_for_test(instance, job_name="ingest_month", status=DagsterRunStatus.STARTED)
        create_run_for_test(instance, job_name="retrain_eta", status=DagsterRunStatus.FAILURE)
        assert active_job(instance, ["ingest_month", "retrain_eta"]) == "ingest_month"
        assert active_job(instance, ["retrain_eta"]) is None
        began = last_training(instance)
        assert began is not None
        assert abs((datetime.now(UTC) - began).total_seconds()) < 60


def test_cooldown_ends_after_its_hours_and_ignores_a_clock_that_was_set_back() -> None:
    now = datetime(2020, 6, 15, tzinfo=UTC)
    assert cooldown_end(None, 24, now) is None
    assert cooldown_end(now - timedelta(hours=1), 24, now) == now + timedelta(hours=23)
    assert cooldown_end(now - timedelta(hours=25), 24, now) is None
    assert cooldown_end(now + timedelta(hours=48), 24, now) is None
