"""`logitrack up`: the UI, the service, a second instance, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import psutil

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.end_to_end.conftest import Installation

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
  }
}
"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
SELECTOR = {"repositoryLocationName": "logitrack", "repositoryName": "__repository__"}


def _graphql(installation: Installation, query: str, **variables: object) -> dict:
    answer = httpx2.post(f"{installation.dagster}/graphql", json={"query": query, "variables": variables}, timeout=60)
    answer.raise_for_status()
    body = answer.json()
    assert "errors" not in body, body
    return body["data"]


def _wait_for(installation: Installation, run_id: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = _graphql(installation, STATUS, id=run_id)["runOrError"]["status"]
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            return status
        time.sleep(0.5)
    return f"still {status}"


def test_month_is_materialised_from_the_ui(running: Installation) -> None:
    """Send what the UI sends for one month of the trip assets; the run passes queue, daemon and worker."""
    names = ("bronze_trips", "silver_trips", "rejected_trips")
    data = _graphql(
        running,
        LAUNCH,
        params={
            "selector": SELECTOR
            | {
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": [name]} for name in names],
                "assetCheckSelection": [],
            },
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2019-03"}]},
        },
    )["launchPipelineExecution"]
    assert data["__typename"] == "LaunchRunSuccess", data
    assert _wait_for(running, data["run"]["runId"], seconds=400) == "SUCCESS"


def test_sensors_and_schedules_run_by_default(running: Installation) -> None:
    query = """
    query Instigators($selector: RepositorySelector!) {
      repositoryOrError(repositorySelector: $selector) {
        ... on Repository {
          sensors { name sensorState { status } }
          schedules { name scheduleState { status } }
        }
      }
    }
    """
    repository = _graphql(running, query, selector=SELECTOR)["repositoryOrError"]
    states = {row["name"]: row["sensorState"]["status"] for row in repository["sensors"]}
    states |= {row["name"]: row["scheduleState"]["status"] for row in repository["schedules"]}
    assert {"ingest_published_months", "retrain_when_due", "alert_on_failure", "ingest_monthly"} <= set(states)
    assert set(states.values()) == {"RUNNING"}


def test_client_in_the_readme_works(running: Installation) -> None:
    code = (REPOSITORY / "README.md").read_text().split("```python\n")[1].split("```")[0]
    result = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", running.service)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"\d+ minutes \(\d+ to \d+\), there at \d\d:\d\d\n", result.stdout)
    assert running.query("select count(*) from service.outcomes where duration_minutes = 58") == ["1"]


def test_second_up_is_refused(running: Installation) -> None:
    result = running.run("up", timeout=60)
    assert result.returncode == 1
    assert "already running" in result.stderr
    assert "Traceback" not in result.stderr
    assert httpx2.get(f"{running.service}/health/ready", timeout=10).status_code == 200


def test_doctor_reports_the_running_stack(running: Installation) -> None:
    result = running.run("doctor", timeout=120, LOGITRACK_TLC_URL=str(running.home.parent))
    assert result.stdout.count("is logitrack, running on this home") == 2, result.stdout
    assert "12 months, the newest is 2019-12" in result.stdout
    assert "1 of 1 free" in result.stdout
    assert "embedded" in result.stdout
    assert "champion since" in result.stdout
    assert "✗ data source" in result.stdout, "the folder given as source has no files; everything else works"


def test_doctor_of_another_home_does_not_take_this_stack_for_its_own(running: Installation, tmp_path: Path) -> None:
    result = running.run("doctor", timeout=120, LOGITRACK_HOME=str(tmp_path))
    assert result.returncode == 1
    assert f"answers, but it is not the service of {tmp_path}" in result.stdout
    assert f"answers, but it is not the Dagster UI of {tmp_path}" in result.stdout


def test_dagster_commands_work_with_the_exported_environment(running: Installation) -> None:
    exported = running.run("env").stdout
    listed = subprocess.run(
        ["bash", "-c", f"{exported}\ndagster run list --limit 5"],
        env={**running.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    assert "retrain_eta" in listed.stdout


def test_ctrl_c_ends_every_process_and_the_next_start_keeps_the_model(demo: tuple, running: Installation) -> None:
    """Last test of the module: it ends the stack of the `running` fixture."""
    champion = ModelRegistry(running.home / "models").champion()
    first = next(process for process in running.processes() if process.cmdline()[-1:] == ["up"])
    family = [first, *first.children(recursive=True)]
    first.send_signal(signal.SIGINT)
    assert running.none_left(seconds=120), [process.cmdline() for process in running.processes()]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    again = running.start("up")
    try:
        running.wait_until_ready(again, seconds=180)
        assert ModelRegistry(running.home / "models").champion() == champion
    finally:
        again.send_signal(signal.SIGINT)
        output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert running.none_left()
