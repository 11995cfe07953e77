"""The pipeline as the service shows it: states of months, runs with links, and a daemon that has gone silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User


@pytest.fixture
def state(service_home: ServiceHome) -> Iterator[ServiceHome]:
    service_home.run(
        "insert into warehouse.pipeline_months values ('2019-01', 'yellow', true, null, null),"
        " ('2019-02', 'yellow', true, 'the file is broken', 'run-1'), ('2019-03', 'yellow', true, null, null),"
        " ('2019-04', 'yellow', false, null, null)"
    )
    service_home.run(
        "insert into warehouse.trip_months (month, fleet, rows_bronze, rows_silver, rows_rejected, published_at)"
        " values ('2019-01', 'yellow', 110, 100, 10, now()), ('2018-12', 'yellow', 11, 10, 1, now())"
    )
    yield service_home
    for table in ("pipeline_months", "pipeline_runs", "pipeline_health", "trip_months"):
        service_home.run(f"truncate warehouse.{table}")


def report_health(home: ServiceHome, *, age: timedelta, daemon: str = "ok", source: str = "ok") -> None:
    home.run("truncate warehouse.pipeline_health")
    for part, status in (("daemon", daemon), ("source", source)):
        home.run(
            "insert into warehouse.pipeline_health values (:part, :status, 'A fact.', null, :at)",
            part=part,
            status=status,
            at=datetime.now(UTC) - age,
        )


def test_each_month_has_a_state_and_a_reason(state: ServiceHome, client: TestClient, analyst: User):
    rows = client.get("/pipeline/months", headers=analyst.headers).json()
    assert [(row["month"], row["state"], row["reason"], row["trips"]) for row in rows] == [
        ("2018-12", "ingested", None, 10),  # the daemon has not reported it yet
        ("2019-01", "ingested", None, 100),
        ("2019-02", "failed", "the file is broken", None),
        ("2019-03", "published", None, None),
        ("2019-04", "missing", None, None),
    ]
    assert rows[2]["run_id"] == "run-1"
    assert rows[1]["rejected_rows"] == 10


def test_runs_link_to_their_pages(state: ServiceHome, client: TestClient, analyst: User):
    state.run(
        "insert into warehouse.pipeline_runs values"
        " ('a', 'ingest_month', 'SUCCESS', '2019-01', '2019-02', null, null, now() - interval '1 hour', now(), now()),"
        " ('b', 'retrain_eta', 'STARTED', null, null, 'drift', 'its process is gone', now(), now(), null)"
    )
    newest, oldest = client.get("/pipeline/runs", headers=analyst.headers).json()
    assert (newest["run_id"], newest["problem"], newest["url"]) == (
        "b",
        "its process is gone",
        "http://127.0.0.1:3000/runs/b",
    )
    assert (oldest["first_month"], oldest["last_month"]) == ("2019-01", "2019-02")


@pytest.mark.parametrize(
    ("daemon", "source", "status"),
    [("ok", "ok", "ok"), ("ok", "degraded", "degraded"), ("failed", "degraded", "failed")],
)
def test_the_worst_part_decides(
    state: ServiceHome, client: TestClient, analyst: User, daemon: str, source: str, status: str
):
    report_health(state, age=timedelta(), daemon=daemon, source=source)
    body = client.get("/pipeline/health", headers=analyst.headers).json()
    assert body["status"] == status
    assert {part["part"]: part["status"] for part in body["parts"]} == {"daemon": daemon, "source": source}
    assert body["dagster_url"] == "http://127.0.0.1:3000"


def test_an_old_report_means_that_the_daemon_does_not_run(state: ServiceHome, client: TestClient, analyst: User):
    report_health(state, age=timedelta(minutes=4))
    body = client.get("/pipeline/health", headers=analyst.headers).json()
    assert body["status"] == "failed"
    first, source = body["parts"]
    assert (first["part"], first["status"]) == ("daemon", "failed")
    assert first["fact"].startswith("The daemon has not reported since 2")
    assert source["part"] == "source"


def test_before_the_first_report_the_daemon_has_not_reported_yet(
    service_home: ServiceHome, client: TestClient, analyst: User
):
    body = client.get("/pipeline/health", headers=analyst.headers).json()
    assert (body["status"], body["checked_at"]) == ("failed", None)
    assert body["parts"][0]["fact"] == "The daemon has not reported yet; what follows may be old."
    assert client.get("/pipeline/months", headers=analyst.headers).json() == []


@pytest.mark.parametrize("path", ["months", "runs", "health"])
def test_only_analysts_and_admins_see_the_pipeline(client: TestClient, new_user: Callable[..., User], path: str):
    assert client.get(f"/pipeline/{path}", headers=new_user("user").headers).status_code == 403
    assert client.get(f"/pipeline/{path}", headers=new_user("admin").headers).status_code == 200
