"""Training is due for a reason, once for each, and not while months are still arriving."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Connection, create_engine, text

from logitrack_assets.automation.retraining import active_job, drift, last_training, live_error, new_months
from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.lake import RECEIPT, Lake


def _manifest(*training: tuple[str, str, str], mae: float = 4.0) -> Manifest:
    """Only what these decisions look at."""
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
    def test_without_a_model_every_month_is_new(self, lake: Lake) -> None:
        due = new_months(lake, None)
        assert due is not None
        assert due.reason == "new months: 2020-01, 2020-02"

    def test_an_empty_lake_trains_nothing(self, tmp_path: Path) -> None:
        assert new_months(Lake(tmp_path), None) is None

    def test_months_that_were_seen_are_not_new(self, lake: Lake) -> None:
        assert new_months(lake, _manifest(("2020-01", "yellow", "a"), ("2020-02", "yellow", "b"))) is None

    def test_a_republished_month_is_new(self, lake: Lake) -> None:
        due = new_months(lake, _manifest(("2020-01", "yellow", "a"), ("2020-02", "yellow", "before")))
        assert due is not None
        assert "2020-02" in due.reason

    def test_months_before_the_window_are_not_missed(self, lake: Lake) -> None:
        assert new_months(lake, _manifest(("2020-02", "yellow", "b"))) is None

    def test_one_batch_has_one_key_and_the_next_another(self, lake: Lake) -> None:
        seen = _manifest(("2020-01", "yellow", "a"))
        first, again = new_months(lake, seen), new_months(lake, seen)
        _month(lake, "2020-03", "c")
        later = new_months(lake, seen)
        assert first is not None
        assert again is not None
        assert later is not None
        assert first.key == again.key != later.key


@pytest.fixture
def connection(database_url: str) -> Any:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


class TestDrift:
    CHAMPION = _manifest(("2020-02", "yellow", "b"))

    def _found(self, connection: Connection, month: str, drifted: bool, version: str | None = None) -> None:
        connection.execute(
            text(
                "insert into warehouse.eta_drift "
                "(month, fleet, model_version, measure, value, threshold, drifted, computed_at) "
                "values (:month, 'yellow', :version, 'volume', 0.9, 0.5, :drifted, now())"
            ),
            {"month": month, "version": version or self.CHAMPION.version, "drifted": drifted},
        )

    def test_drift_of_a_later_month_counts(self, connection: Connection) -> None:
        self._found(connection, "2020-03", drifted=True)
        due = drift(connection, self.CHAMPION)
        assert due is not None
        assert due.urgent
        assert due.reason == "drift in 2020-03 (volume)"

    @pytest.mark.parametrize(
        ("month", "drifted", "version"),
        [("2020-03", False, None), ("2020-02", True, None), ("2020-03", True, "another")],
    )
    def test_nothing_else_does(self, connection: Connection, month: str, drifted: bool, version: str | None) -> None:
        self._found(connection, month, drifted, version)
        assert drift(connection, self.CHAMPION) is None


class TestLiveError:
    CHAMPION = _manifest(("2020-02", "yellow", "b"), mae=4.0)

    def _outcomes(self, connection: Connection, count: int, error: float) -> None:
        for _ in range(count):
            key = {"id": uuid.uuid4(), "version": self.CHAMPION.version}
            connection.execute(
                text(
                    "insert into service.predictions (prediction_id, at, account_id, model_version, fleet, pickup_zone,"
                    " dropoff_zone, pickup_at, duration_minutes, low_minutes, high_minutes, level, support,"
                    " extrapolating) values (:id, now(), 1, :version, 'yellow', 1, 2, now(), 10, 5, 20, 0.8, 9, false)"
                ),
                key,
            )
            connection.execute(
                text(
                    "insert into service.outcomes (prediction_id, account_id, duration_minutes) values (:id, 1, :real)"
                ),
                {"id": key["id"], "real": 10 + error},
            )

    def test_many_bad_answers_count(self, connection: Connection) -> None:
        self._outcomes(connection, 500, error=6)
        due = live_error(connection, self.CHAMPION, worse_by=0.25)
        assert due is not None
        assert due.reason == "live error 6.00 minutes over 500 rides against 4.00 at the test"

    def test_few_do_not(self, connection: Connection) -> None:
        self._outcomes(connection, 20, error=60)
        assert live_error(connection, self.CHAMPION, worse_by=0.25) is None

    def test_answers_as_good_as_expected_do_not(self, connection: Connection) -> None:
        self._outcomes(connection, 500, error=4.5)
        assert live_error(connection, self.CHAMPION, worse_by=0.25) is None


def test_a_run_that_waits_or_runs_is_noticed() -> None:
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
