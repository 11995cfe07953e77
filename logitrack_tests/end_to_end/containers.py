"""Drive the running containers of compose.yaml as an operator and a client would, and check what they answer.

Usage, beside `.env`, on an empty stack whose LOGITRACK_TLC_URL is the packaged sample (a path inside the image):

    python -m logitrack_tests.end_to_end.containers --compose "docker compose"

Materialises three months and a model through the writing web UI, restarts the web UIs' code server meanwhile, asks for
a prediction through the proxy with verified TLS, and tries what each database login must not do.
"""

from __future__ import annotations

import argparse
import shlex
import ssl
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import httpx2

UI = "http://127.0.0.1:3001/graphql"
PUBLIC = "https://localhost"
MAX_RUN_SECONDS = 1_800
LAUNCH = """
mutation($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
ROOT_CERTIFICATE = "/data/caddy/pki/authorities/local/root.crt"
DENIED = {
    "logitrack_service": ("select * from dagster.runs", "alter table service.accounts add column more int"),
    "logitrack_assets": ("select password_hash from service.accounts", "create table warehouse.more (id int)"),
    "logitrack_analyst": ("select * from service.accounts", "select * from dagster.runs"),
}


def main() -> None:
    """Run all steps; an AssertionError says which one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compose", default="docker compose", help="the command of compose, with its options")
    compose = shlex.split(parser.parse_args().compose)

    months = {"dagster/asset_partition_range_start": "2019-01", "dagster/asset_partition_range_end": "2019-03"}
    _await_run(_launch("ingest_month", months, {}))
    training = {"ops": {"eta_model": {"config": {"backtest_folds": 2, "trees": 60}}}}
    run = _launch("retrain_eta", {"logitrack/reason": "containers"}, training)
    _await_status(run, {"STARTED"})
    _execute([*compose, "restart", "code"])
    _await_run(run)
    print("months and champion made; the run outlived a restart of `code`")

    certificate = _execute([*compose, "exec", "-T", "proxy", "cat", ROOT_CERTIFICATE])
    with httpx2.Client(base_url=PUBLIC, verify=ssl.create_default_context(cadata=certificate), timeout=30) as client:
        _check_public_side(client)
    print("predicted through the proxy")

    for role, statements in DENIED.items():
        for statement in statements:
            _check_denied(compose, role, statement)
    print("database logins are confined")


def _launch(job: str, tags: dict[str, str], config: dict[str, Any]) -> str:
    selector = {
        "repositoryLocationName": "logitrack",
        "repositoryName": "__repository__",
        "pipelineName": job,
    }
    tag_list = [{"key": key, "value": value} for key, value in tags.items()]
    parameters = {"selector": selector, "runConfigData": config, "executionMetadata": {"tags": tag_list}}
    result = _query(LAUNCH, {"parameters": parameters})["launchRun"]
    assert result["__typename"] == "LaunchRunSuccess", result
    return str(result["run"]["runId"])


def _await_run(run: str) -> None:
    assert _await_status(run, {"SUCCESS", "FAILURE", "CANCELED"}) == "SUCCESS", run


def _await_status(run: str, expected: set[str]) -> str:
    deadline = time.monotonic() + MAX_RUN_SECONDS
    while (status := str(_query(STATUS, {"run": run})["runOrError"]["status"])) not in expected:
        assert time.monotonic() < deadline, f"{run} is {status} after {MAX_RUN_SECONDS} s"
        time.sleep(2)
    return status


def _query(document: str, variables: dict[str, Any]) -> dict[str, Any]:
    response = httpx2.post(UI, json={"query": document, "variables": variables}, timeout=120)
    data: dict[str, Any] = response.raise_for_status().json()["data"]
    return data


def _check_public_side(client: httpx2.Client) -> None:
    ready = client.get("/health/ready")
    states = {name: check["status"] for name, check in ready.json()["checks"].items()}
    assert set(states.values()) == {"ok"}, states
    assert ready.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert client.get("/metrics").status_code == 404
    login = {"username": f"rider{time.time_ns()}", "password": "a long ride uptown"}
    assert client.post("/register", json=login).status_code == 201
    token = client.post("/token", data={"grant_type": "password", **login}).raise_for_status().json()["access_token"]
    trip = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-04-15T17:30:00"}
    answer = client.post("/predict", json=trip, headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
    assert 10 < answer["estimated_duration_minutes"] < 150, answer
    assert client.post("/predict", content=b" " * 5_000_000).status_code == 413


def _check_denied(compose: Sequence[str], role: str, statement: str) -> None:
    """Run a statement with the rights of a role, as the administrator over the container's own socket."""
    psql = ["psql", "--username", "postgres", "--dbname", "logitrack", "--set", "ON_ERROR_STOP=1"]
    tried = subprocess.run(
        [*compose, "exec", "-T", "postgres", *psql, "--command", f"set role {role}", "--command", statement],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode != 0, (role, statement)
    assert "permission denied" in tried.stderr or "must be owner" in tried.stderr, tried.stderr


def _execute(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
