"""Drift, a higher live error, a silent source and stalled runs are each reported once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from dagster import DagsterInstance, DagsterRunStatus, build_sensor_context
from dagster._core.test_utils import create_run_for_test

from logitrack_assets.automation.alerts import alert_on_conditions
from logitrack_assets.automation.conditions import (
    UNREACHABLE_AFTER,
    champion_alerts,
    record_source_state,
    source_alerts,
    stalled_run_alerts,
)
from logitrack_assets.eta.live import LiveState
from logitrack_assets.eta.live_store import LiveSnapshot, save_snapshot_if_due
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.variant import Variant
from logitrack_assets.resources import AlertError, AlertWebhook
from logitrack_assets.run_workers import MAX_WAIT
from logitrack_assets.warehouse import Warehouse
from logitrack_tests.eta.examples import publish_version

NOW = datetime(2020, 6, 15, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp() as instance:
        yield instance


def test_source_is_reported_after_a_day_without_an_answer(instance: DagsterInstance) -> None:
    assert source_alerts(instance, "https://tlc", NOW) == []
    record_source_state(instance, reachable=False, now=NOW)
    record_source_state(instance, reachable=False, now=NOW + timedelta(hours=12))
    assert source_alerts(instance, "https://tlc", NOW + UNREACHABLE_AFTER - timedelta(minutes=1)) == []
    (alert,) = source_alerts(instance, "https://tlc", NOW + UNREACHABLE_AFTER)
    assert "https://tlc has not answered since 2020-06-15 00:00 UTC" in alert.text
    record_source_state(instance, reachable=True, now=NOW + UNREACHABLE_AFTER)
    assert source_alerts(instance, "https://tlc", NOW + 2 * UNREACHABLE_AFTER) == []


def test_stalled_run_is_reported(instance: DagsterInstance) -> None:
    queued = create_run_for_test(instance, job_name="ingest_month", status=DagsterRunStatus.NOT_STARTED).run_id
    now = datetime.now(UTC)
    assert stalled_run_alerts(instance, now) == []
    (alert,) = stalled_run_alerts(instance, now + MAX_WAIT)
    assert alert.run_id == queued
    assert "a run of ingest_month has not started since" in alert.text


def test_drift_of_the_champion_is_reported(instance: DagsterInstance, tmp_path: Path, database_url: str) -> None:
    models, warehouse = ModelRegistry(tmp_path), Warehouse(database_url)
    assert champion_alerts(instance, models, warehouse, worse_by=0.25) == []
    version = publish_version(models)
    models.promote(version, by="test", reason="test")
    month = "2099-01"
    with warehouse.connect() as connection:
        connection.execute(
            "insert into warehouse.eta_drift (month, fleet, model_version, measure, value, threshold, drifted) "
            "values (%s, 'yellow', %s, 'volume', 0.9, 0.5, true)",
            (month, version),
        )
    (alert,) = champion_alerts(instance, models, warehouse, worse_by=0.25)
    assert alert.text == f"drift in {month} (volume) (champion {version})"


def test_live_correction_that_was_switched_off_is_reported(
    instance: DagsterInstance, tmp_path: Path, database_url: str
) -> None:
    models, warehouse = ModelRegistry(tmp_path), Warehouse(database_url)
    version = publish_version(models)
    models.promote(version, by="test", reason="test")
    state = LiveState()
    with warehouse.connect() as connection:
        save_snapshot_if_due(connection, version, LiveSnapshot(state, 1))
    assert champion_alerts(instance, models, warehouse, worse_by=0.25) == []
    state.variants[Variant.ZONES].safety.enabled = False
    with warehouse.connect() as connection:
        assert save_snapshot_if_due(connection, version, LiveSnapshot(state, 2))
    (alert,) = champion_alerts(instance, models, warehouse, worse_by=0.25)
    assert alert.text == f"live correction of {version} is switched off (zones): it made errors larger beyond noise"


class RecordingWebhook:
    """A webhook that refuses the first alerts."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.received = refusals, []

    def run_link(self, run_id: str | None) -> str:
        return AlertWebhook(dagster_url="http://dagster").run_link(run_id)

    def post(self, text: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AlertError("refused")
        self.received.append(text)


def test_condition_is_reported_once_the_webhook_accepts_it(
    instance: DagsterInstance, tmp_path: Path, database_url: str
) -> None:
    record_source_state(instance, reachable=False, now=datetime.now(UTC) - timedelta(days=2))
    webhook = RecordingWebhook(refusals=1)
    resources = {
        "alerts": webhook,
        "registry": SimpleNamespace(open=lambda: ModelRegistry(tmp_path)),
        "warehouse": SimpleNamespace(open=lambda: Warehouse(database_url)),
        "source": SimpleNamespace(base_url="https://tlc"),
        "policy": SimpleNamespace(live_error_worse_by=0.25),
    }
    messages = []
    for _ in range(3):
        with build_sensor_context(instance=instance, resources=resources) as context:
            messages.append(alert_on_conditions(context).skip_message)
    assert len(webhook.received) == 1
    assert webhook.received[0].startswith("logitrack: the source https://tlc has not answered since")
    assert webhook.received[0].endswith(" http://dagster/runs/")
    assert messages == [f"1 conditions, {count} of them not reported before." for count in (1, 1, 0)]


def test_condition_that_cannot_be_evaluated_does_not_hide_the_others(instance: DagsterInstance, tmp_path: Path) -> None:
    record_source_state(instance, reachable=False, now=datetime.now(UTC) - timedelta(days=2))
    webhook = RecordingWebhook(refusals=0)
    (tmp_path / "champion.json").write_text("damaged")
    resources = {
        "alerts": webhook,
        "registry": SimpleNamespace(open=lambda: ModelRegistry(tmp_path)),
        "warehouse": SimpleNamespace(open=lambda: Warehouse("postgresql+psycopg://nobody@127.0.0.1:1/none")),
        "source": SimpleNamespace(base_url="https://tlc"),
        "policy": SimpleNamespace(live_error_worse_by=0.25),
    }
    with build_sensor_context(instance=instance, resources=resources) as context:
        alert_on_conditions(context)
    assert [text.split(" has")[0] for text in webhook.received] == ["logitrack: the source https://tlc"]
