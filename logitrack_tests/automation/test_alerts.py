"""A problem is reported once in 24 hours, and counts as reported only after the webhook accepted it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import (
    AssetMaterialization,
    DagsterInstance,
    Failure,
    JobDefinition,
    OpExecutionContext,
    SkipReason,
    build_run_status_sensor_context,
    job,
    op,
)

from logitrack_assets.automation.alerts import (
    REPEAT_AFTER,
    alert_on_failure,
    problem_key,
    record_alert,
    should_notify,
)
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.materializations import VERSION
from logitrack_assets.resources import AlertWebhook
from logitrack_assets.settings import get_settings
from logitrack_tests.eta.examples import publish_version

NOW = datetime(2020, 6, 15, tzinfo=UTC)


def test_numbers_and_paths_do_not_distinguish_problems() -> None:
    one = problem_key("ingest_month", "bronze_trips", "yellow_2019-01 at /a/b has 12 bytes")
    other = problem_key("ingest_month", "bronze_trips", "yellow_2020-07 at /c/d has 99,812 bytes")
    assert one == problem_key("ingest_month", "bronze_trips", "yellow_2019-02 at /x has 7 bytes")
    assert other.startswith("ingest_month / bronze_trips")
    assert problem_key("retrain_eta", "eta_model", "x") != problem_key("ingest_month", "eta_model", "x")


def test_recorded_alert_suppresses_the_problem_for_a_day() -> None:
    with DagsterInstance.local_temp() as instance:
        assert should_notify(instance, "a", NOW)
        assert should_notify(instance, "a", NOW), "asking does not record"
        record_alert(instance, "a", NOW)
        assert not should_notify(instance, "a", NOW + timedelta(hours=1))
        assert should_notify(instance, "b", NOW + timedelta(hours=1))
        assert should_notify(instance, "a", NOW + REPEAT_AFTER)


@op
def breaks() -> None:
    raise Failure(description="the month is broken")


@job
def broken_job() -> None:
    breaks()


class Webhook:
    """What the local webhook received, and the status that it answers."""

    def __init__(self) -> None:
        self.status = 204
        self.received: list[dict[str, Any]] = []


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LOGITRACK_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/secret-token")
    get_settings.cache_clear()
    yield hook
    server.shutdown()
    server.server_close()
    monkeypatch.undo()
    get_settings.cache_clear()


def _fail_and_alert(
    instance: DagsterInstance, failing: JobDefinition = broken_job, models: ModelRegistry | None = None
) -> SkipReason | None:
    result = failing.execute_in_process(instance=instance, raise_on_error=False)
    context = build_run_status_sensor_context(
        sensor_name="alert_on_failure",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
        resources={
            "alerts": AlertWebhook(dagster_url="http://dagster.example/"),
            "registry": SimpleNamespace(open=lambda: models),
        },
    ).for_run_failure()
    skipped = alert_on_failure(context)
    assert skipped is None or isinstance(skipped, SkipReason)
    return skipped


def test_two_failed_runs_with_one_problem_post_one_alert(webhook: Webhook) -> None:
    with DagsterInstance.local_temp() as instance:
        assert _fail_and_alert(instance) is None
        assert isinstance(_fail_and_alert(instance), SkipReason)
        first_run = instance.get_runs()[-1].run_id
    assert len(webhook.received) == 1
    assert "broken_job failed at breaks: the month is broken" in webhook.received[0]["text"]
    assert webhook.received[0]["text"].endswith(f" http://dagster.example/runs/{first_run}")


def test_refused_candidate_posts_one_alert_with_the_reason_of_the_gates(webhook: Webhook, tmp_path: Path) -> None:
    models = ModelRegistry(tmp_path)
    version = publish_version(models)

    @op
    def trains_in_vain() -> None:
        OpExecutionContext.get().log_event(AssetMaterialization("eta_model", metadata={VERSION: version}))
        models.record_rejection(version, "beats_baseline: it does not")
        raise Failure(description="1 blocking asset check failed")

    @job
    def refused_training() -> None:
        trains_in_vain()

    with DagsterInstance.local_temp() as instance:
        assert _fail_and_alert(instance, refused_training, models) is None
        assert isinstance(_fail_and_alert(instance, refused_training, models), SkipReason)
    (alert,) = webhook.received
    assert f"logitrack: the candidate {version} was refused: beats_baseline: it does not http" in alert["text"]


def test_alert_that_the_webhook_refused_is_posted_again(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with DagsterInstance.local_temp() as instance:
        webhook.status = 500
        assert _fail_and_alert(instance) is None
        webhook.status = 204
        assert _fail_and_alert(instance) is None
        assert isinstance(_fail_and_alert(instance), SkipReason)
    assert len(webhook.received) == 2
    logged = caplog.text + capfd.readouterr().err
    assert "could not be posted (HTTPStatusError)" in logged
    assert "secret-token" not in logged


def test_without_a_webhook_the_logged_alert_counts_as_delivered() -> None:
    get_settings.cache_clear()
    with DagsterInstance.local_temp() as instance:
        assert _fail_and_alert(instance) is None
        assert isinstance(_fail_and_alert(instance), SkipReason)
