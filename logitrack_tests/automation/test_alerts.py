"""A failure is told once per problem; the webhook gets words and the log does not get the webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from dagster import DagsterInstance, Failure, build_run_status_sensor_context, job, op

from logitrack_assets.automation.alerts import REPEAT_AFTER, alert_on_failure, problem, should_notify
from logitrack_assets.settings import get_settings

NOW = datetime(2020, 6, 15, tzinfo=UTC)


def test_numbers_and_paths_do_not_make_it_another_problem() -> None:
    one = problem("ingest_month", "bronze_trips", "yellow_2019-01 at /a/b has 12 bytes")
    other = problem("ingest_month", "bronze_trips", "yellow_2020-07 at /c/d has 99,812 bytes")
    assert one == problem("ingest_month", "bronze_trips", "yellow_2019-02 at /x has 7 bytes")
    assert other.startswith("ingest_month / bronze_trips")
    assert problem("retrain_eta", "eta_model", "x") != problem("ingest_month", "eta_model", "x")


def test_once_a_day(postgres: str) -> None:
    with DagsterInstance.local_temp() as instance:
        assert should_notify(instance, "a", NOW)
        assert not should_notify(instance, "a", NOW + timedelta(hours=1))
        assert should_notify(instance, "b", NOW + timedelta(hours=1))
        assert should_notify(instance, "a", NOW + REPEAT_AFTER)


@op
def breaks() -> None:
    raise Failure(description="the month is broken")


@job
def broken_job() -> None:
    breaks()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LOGITRACK_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/secret-token")
    get_settings.cache_clear()
    yield received
    server.shutdown()
    server.server_close()
    monkeypatch.undo()
    get_settings.cache_clear()


def test_two_failed_runs_of_one_problem_are_one_message(webhook: list[dict[str, Any]]) -> None:
    with DagsterInstance.local_temp() as instance:
        for _ in range(2):
            result = broken_job.execute_in_process(instance=instance, raise_on_error=False)
            context = build_run_status_sensor_context(
                sensor_name="alert_on_failure",
                dagster_instance=instance,
                dagster_run=result.dagster_run,
                dagster_event=result.get_run_failure_event(),
            ).for_run_failure()
            alert_on_failure(context)
    assert len(webhook) == 1
    assert "broken_job failed at breaks: the month is broken" in webhook[0]["text"]
