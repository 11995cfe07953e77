"""`logitrack up`: the UI, the service, a second instance, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.browser import chromium, visit
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.end_to_end.conftest import MONTHS, SELECTOR, Installation
from logitrack_tests.service.polling import eventually

PASSWORD = "seven yellow cabs in the rain"

REEXECUTE = """
mutation LaunchPipelineReexecution($reexecutionParams: ReexecutionParams) {
  launchPipelineReexecution(reexecutionParams: $reexecutionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId parentRunId rootRunId } }
    ... on PythonError { message }
  }
}
"""


def test_nothing_is_unsynced_after_up(running: Installation) -> None:
    """First test of the module: a later one materialises a month again."""
    nodes = running.asset_nodes(MONTHS)
    assert set(nodes) >= {"bronze_trips", "trip_stats", "eta_drift", "eta_model", "eta_champion"}
    for name, node in nodes.items():
        assert (node["staleStatus"], node["staleCauses"]) == ("FRESH", []), name
        if node["isPartitioned"]:
            assert node["staleStatusByPartition"] == ["FRESH"] * len(MONTHS), name
            assert node["partitionStats"] == {"numMaterialized": len(MONTHS), "numFailed": 0}, name


@pytest.fixture
def checks_run_id(running: Installation) -> str:
    """Id of a run of `logitrack check`: that of `test_check`, or a new one where this module runs alone."""
    newest = "select run_id from runs where pipeline_name = 'run_checks' and status = 'SUCCESS' order by id desc"
    if not running.query(newest):
        result = running.run("check", "--months", MONTHS[0])
        assert result.returncode == 0, result.stdout + result.stderr
    return running.query(newest)[0]


def test_run_of_the_command_line_is_executed_again_from_the_ui(running: Installation, checks_run_id: str) -> None:
    """Send what the button *Re-execute all* sends."""
    parameters = {"parentRunId": checks_run_id, "strategy": "ALL_STEPS", "extraTags": []}
    result = running.graphql(REEXECUTE, reexecutionParams=parameters)["launchPipelineReexecution"]
    assert result["__typename"] == "LaunchRunSuccess", result
    assert (result["run"]["parentRunId"], result["run"]["rootRunId"]) == (checks_run_id, checks_run_id)
    assert running.wait_for_run(result["run"]["runId"], seconds=180) == "SUCCESS"


def test_health_of_the_platform_is_ok(running: Installation) -> None:
    answer = httpx2.get(f"{running.dagster}/health", timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok"), answer.text
    assert answer.json()["checks"]["daemon"]["fact"] == "all heartbeats are recent"
    assert answer.json()["checks"]["newest_month"]["fact"].startswith(f"The newest of {len(MONTHS)} months is")


def test_month_is_materialised_from_the_ui(running: Installation) -> None:
    """Send what the UI sends for one month of the trip assets; the run passes queue, daemon and worker."""
    names = ("bronze_trips", "silver_trips", "rejected_trips")
    run_id = running.launch("__ASSET_JOB", *names, partition=MONTHS[1])
    assert running.wait_for_run(run_id, seconds=400) == "SUCCESS"


def test_runs_of_the_command_line_are_runs_of_the_code_location(running: Installation) -> None:
    """Find the demo's own runs on the pages of their jobs, with the permission to execute them again."""
    query = """
    query Runs($filter: RunsFilter!) {
      runsOrError(filter: $filter) {
        ... on Runs { results { runId hasReExecutePermission repositoryOrigin { repositoryLocationName } } }
      }
    }
    """
    of_location = [{"key": ".dagster/repository", "value": "__repository__@logitrack"}]
    for job in ("ingest_month", "retrain_eta"):
        runs = running.graphql(query, filter={"pipelineName": job, "tags": of_location})["runsOrError"]["results"]
        assert runs, f"the page of {job} is empty"
        assert all(run["hasReExecutePermission"] for run in runs)
        assert {run["repositoryOrigin"]["repositoryLocationName"] for run in runs} == {"logitrack"}


def test_other_pages_cannot_send_requests_to_dagster(running: Installation) -> None:
    (run_id, *_) = running.query("select run_id from runs where status = 'SUCCESS'")
    mutation = f'mutation {{ deletePipelineRun(runId: "{run_id}") {{ __typename }} }}'
    address, parameters = f"{running.dagster}/graphql", {"query": mutation}
    assert httpx2.get(address, params=parameters, timeout=30).status_code == 405
    assert httpx2.post(address, params=parameters, timeout=30).status_code == 415
    for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 421)):
        answer = httpx2.post(address, json=parameters, headers=headers, timeout=30)
        assert answer.status_code == status
    assert running.query(f"select count(*) from runs where run_id = '{run_id}'") == ["1"]


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
    repository = running.graphql(query, selector=SELECTOR)["repositoryOrError"]
    states = {row["name"]: row["sensorState"]["status"] for row in repository["sensors"]}
    states |= {row["name"]: row["scheduleState"]["status"] for row in repository["schedules"]}
    assert {"ingest_published_months", "retrain_when_due", "alert_on_failure", "ingest_monthly"} <= set(states)
    assert set(states.values()) == {"RUNNING"}


def test_client_in_the_readme_works(running: Installation) -> None:
    code = (REPOSITORY / "README.md").read_text().split("```python\n")[1].split("```")[0]
    for _ in range(2):  # the account exists at the second run
        result = subprocess.run(
            [sys.executable, "-c", code.replace("http://127.0.0.1:8000", running.service)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        first, *rows = result.stdout.splitlines()
        assert re.fullmatch(r"\d+ minutes \(\d+ to \d+\), there at \d\d:\d\d", first)
        assert [row.split()[0] for row in rows] == ["132", "138", "1"]
    assert running.query("select count(*) from service.outcomes where duration_minutes = 58") == ["2"]


def create_admin(running: Installation, username: str) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "logitrack_assets.cli", "user", "create-admin", username, "--password-stdin"],
        env=running.environment(),
        input=PASSWORD,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr


def test_journey_through_the_console(running: Installation) -> None:
    """Register, plan a ride, report it, look at the model; then, as an admin, ask in SQL and look at the pipeline."""
    create_admin(running, "ada")
    with chromium() as browser, visit(browser, running.service, expected=("401",)) as visited:
        page = visited.page
        visited.open("/?from=161&to=132&at=2020-01-15T17:30")
        page.get_by_role("button", name="Create an account").click()
        page.get_by_label("Username").fill("traveller")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        prediction = page.get_by_role("region", name="Prediction")
        prediction.get_by_text(re.compile(r"80% of such rides take")).wait_for()
        prediction.get_by_role("button", name="Report the real duration").click()
        prediction.get_by_label("It took, in minutes").fill("61")
        prediction.get_by_role("button", name="Report", exact=True).click()
        prediction.get_by_text("the real duration is recorded").wait_for()
        page.get_by_role("link", name="Model").click()
        champion = ModelRegistry(running.home / "models").champion()
        assert champion is not None
        page.get_by_role("region", name="The served model").get_by_text(champion.version).wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label(f"Show {champion.version}").check()
        page.get_by_text("✓ passed").first.wait_for()
        page.get_by_role("link", name="Query").click()
        page.get_by_role("button", name="Run").click()
        page.get_by_role("figure", name="Result").get_by_role("row").nth(24).wait_for()
        page.get_by_role("link", name="Pipeline").click()
        page.get_by_role("button", name=f"{MONTHS[0]}: ingested").wait_for()
    assert running.query("select count(*) from service.outcomes where duration_minutes = 61") == ["1"]


def test_the_pipeline_is_visible_over_http(running: Installation) -> None:
    """The sensor of the daemon copies months, runs and health to where the service reads them."""
    create_admin(running, "operator-1")
    token = httpx2.post(f"{running.service}/token", data={"username": "operator-1", "password": PASSWORD}, timeout=30)
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}

    def read(path: str) -> Any:
        return httpx2.get(f"{running.service}/pipeline/{path}", headers=headers, timeout=30).json()

    eventually(lambda: read("health")["checked_at"], seconds=90)
    health = read("health")
    assert {part["part"] for part in health["parts"]} == {"daemon", "runs", "spark_slots", "newest_month", "source"}
    assert health["status"] == "ok", health
    states = {row["month"]: row["state"] for row in read("months")}
    assert {month: states[month] for month in MONTHS} == dict.fromkeys(MONTHS, "ingested")
    runs = read("runs")
    assert {"ingest_month", "retrain_eta"} <= {run["job"] for run in runs}
    assert all(run["url"] == f"{running.dagster}/runs/{run['run_id']}" for run in runs)


def test_second_up_is_refused(running: Installation) -> None:
    result = running.run("up", timeout=60)
    assert result.returncode == 1
    assert "already running" in result.stderr
    assert "Traceback" not in result.stderr
    assert httpx2.get(f"{running.service}/health/ready", timeout=10).status_code == 200


def test_doctor_reports_the_running_stack(running: Installation) -> None:
    result = running.run("doctor", timeout=120, LOGITRACK_TLC_URL=str(running.home.parent))
    assert result.stdout.count("is logitrack, running on this home") == 2, result.stdout
    assert f"{len(MONTHS)} months, the newest is {MONTHS[-1]}" in result.stdout
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
