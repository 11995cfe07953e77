"""The health of the platform names orphaned and stalled runs, a silent daemon, taken slots and a late month."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, job
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.types import DaemonHeartbeat
from starlette.testclient import TestClient

from logitrack_assets.files import FileLock
from logitrack_assets.instance import job_origin
from logitrack_assets.lake import Lake
from logitrack_assets.platform_health import platform_health
from logitrack_assets.run_workers import MAX_SILENCE, WORKER_PROCESS_TAG, worker_tags
from logitrack_assets.settings import Settings
from logitrack_assets.webserver import GuardedWebserver

NOW = datetime(2020, 2, 15, tzinfo=UTC)
URL = "http://127.0.0.1:3000"


@job
def empty() -> None:
    pass


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with one month of a source that is a folder."""
    Lake(tmp_path).silver("2019-12").mkdir(parents=True)
    return Settings(home=tmp_path, tlc_url=str(tmp_path))


def _start_run(instance: DagsterInstance, tags: dict[str, str]) -> DagsterRun:
    return instance.create_run_for_job(
        empty, status=DagsterRunStatus.STARTED, tags=tags, remote_job_origin=job_origin("empty")
    )


@pytest.fixture
def orphaned_run(instance: DagsterInstance) -> DagsterRun:
    """A run whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return _start_run(instance, worker_tags() | {WORKER_PROCESS_TAG: f"{process.pid} {time.time()}"})


def test_working_platform_is_ok_and_states_its_facts(instance: DagsterInstance, settings: Settings) -> None:
    health = platform_health(instance, settings, NOW)
    assert health["status"] == "ok"
    assert {name: part["fact"] for name, part in health["checks"].items()} == {
        "daemon": "never started here",
        "runs": "0 in progress, none orphaned or stalled",
        "spark_slots": "1 of 1 free, 0 runs in progress, 0 queued",
        "newest_month": "The newest of 1 months is 2019-12; the source is a folder.",
    }


def test_orphaned_run_is_named(instance: DagsterInstance, settings: Settings, orphaned_run: DagsterRun) -> None:
    health = platform_health(instance, settings, NOW)
    assert (health["status"], health["checks"]["runs"]["status"]) == ("degraded", "degraded")
    fact = f"Orphaned: the process of {orphaned_run.run_id[:8]} of empty is gone; later runs wait for it."
    assert health["checks"]["runs"]["fact"] == fact


def test_stalled_run_is_named(instance: DagsterInstance, settings: Settings) -> None:
    run = _start_run(instance, worker_tags())
    later = datetime.now(UTC) + MAX_SILENCE
    assert platform_health(instance, settings, datetime.now(UTC))["status"] == "ok"
    fact = platform_health(instance, settings, later)["checks"]["runs"]["fact"]
    assert fact.startswith("Stalled: a run of empty has reported nothing since")
    assert fact.endswith(f"({run.run_id[:8]}).")


def test_silent_daemon_fails_the_platform(instance: DagsterInstance, settings: Settings) -> None:
    for kind in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, kind, "id", []))
    health = platform_health(instance, settings, NOW)
    assert (health["status"], health["checks"]["daemon"]["status"]) == ("failed", "failed")
    assert health["checks"]["daemon"]["fact"].startswith("No heartbeat of ")


def test_slots_that_no_run_has_taken_are_a_problem(instance: DagsterInstance, settings: Settings) -> None:
    with FileLock(settings.home / "spark.0.lock"):
        part = platform_health(instance, settings, NOW)["checks"]["spark_slots"]
    assert part["fact"] == "1 of 1 are taken, but no run is in progress."
    assert platform_health(instance, settings, NOW)["checks"]["spark_slots"]["fact"].startswith("1 of 1 free")


def test_late_month_of_a_server_is_a_problem(instance: DagsterInstance, settings: Settings) -> None:
    served = settings.model_copy(update={"tlc_url": "https://tlc.example"})
    early = platform_health(instance, served, datetime(2020, 4, 1, tzinfo=UTC))["checks"]["newest_month"]
    assert early["status"] == "ok"
    assert early["fact"].startswith("The newest month is 2019-12, due on 2020-03-01, 31 days ago.")
    late = platform_health(instance, served, datetime(2020, 5, 1, tzinfo=UTC))["checks"]["newest_month"]
    assert late["status"] == "degraded"
    assert "The next one is late" in late["fact"]


def test_empty_lake_is_a_problem(instance: DagsterInstance, tmp_path: Path) -> None:
    part = platform_health(instance, Settings(home=tmp_path / "empty"), NOW)["checks"]["newest_month"]
    assert (part["status"], part["fact"]) == ("degraded", "There is no month yet.")


@pytest.fixture
def client(instance: DagsterInstance, settings: Settings) -> Iterator[TestClient]:
    with (
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version="1") as context,
        TestClient(GuardedWebserver(context, settings).create_asgi_app(), base_url=URL) as client,
    ):
        yield client


def test_health_is_answered_over_http(client: TestClient, instance: DagsterInstance, orphaned_run: DagsterRun) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert orphaned_run.run_id[:8] in response.json()["checks"]["runs"]["fact"]
    for kind in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, kind, "id", []))
    assert client.get("/health").status_code == 503


def test_browser_opens_the_page_of_the_ui_at_that_address(client: TestClient) -> None:
    response = client.get("/health", headers={"accept": "text/html,application/xhtml+xml"})
    assert response.headers["content-type"].startswith("text/html")
