"""One `logitrack demo` for all end-to-end tests, and an installation that runs the command as a user does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
import pytest

from logitrack_assets.commands.stack import FAST_START_OPTIONS
from logitrack_tests.conftest import REPOSITORY

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
ASSET_NODES = """
query AssetNodes {
  assetNodes {
    assetKey { path }
    isMaterializable
    isPartitioned
    partitionKeys
    partitionStats { numMaterialized numFailed }
    staleStatus
    staleCauses { key { path } reason }
  }
}
"""
PARTITIONS = """
query Partitions($assetKeys: [AssetKeyInput!]!, $months: [String!]!) {
  assetNodes(assetKeys: $assetKeys) { assetKey { path } staleStatusByPartition(partitions: $months) }
}
"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
SELECTOR = {"repositoryLocationName": "logitrack", "repositoryName": "__repository__"}
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")
MONTHS = [f"2019-{month:02d}" for month in range(8, 13)]
"""The newest months of the packaged sample, which the demo of these tests loads."""

ROWS_PER_MONTH = 10_000  # of the packaged sample


def free_port() -> int:
    """Return an unused port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Installation:
    """An installation of logitrack: a home folder and two ports."""

    home: Path
    service_port: int = field(default_factory=free_port)
    dagster_port: int = field(default_factory=free_port)

    @property
    def service(self) -> str:
        return f"http://127.0.0.1:{self.service_port}"

    @property
    def dagster(self) -> str:
        return f"http://127.0.0.1:{self.dagster_port}"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return an environment with these settings and no other setting of logitrack or Dagster."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("LOGITRACK_", "DAGSTER_"))}
        return bare | {
            "LOGITRACK_HOME": str(self.home),
            "LOGITRACK_SERVICE_PORT": str(self.service_port),
            "LOGITRACK_DAGSTER_PORT": str(self.dagster_port),
            "LOGITRACK_SPARK_MASTER": "local[2]",
            "LOGITRACK_SPARK_JAVA_OPTIONS": FAST_START_OPTIONS,
            "COLUMNS": "200",
            **settings,
        }

    def run(self, *arguments: str, timeout: float = 500, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `logitrack ARGUMENTS` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "logitrack_assets.cli", *arguments],
            cwd=REPOSITORY,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start `logitrack ARGUMENTS`."""
        return subprocess.Popen(
            [sys.executable, "-m", "logitrack_assets.cli", *arguments],
            cwd=REPOSITORY,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def query(self, sql: str) -> list[str]:
        """Return the first column of a query on this installation's database, as text.

        It runs in a process of its own, because each user of the embedded server keeps it running until it exits.
        """
        code = (
            "import sys; from sqlalchemy import create_engine, text; "
            "from logitrack_assets.database import database_url; from logitrack_assets.settings import get_settings; "
            "rows = create_engine(database_url(get_settings())).connect().execute(text(sys.argv[1])).scalars(); "
            "print('\\n'.join(map(str, rows)))"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, sql], env=self.environment(), capture_output=True, text=True, check=True
        )
        return result.stdout.splitlines()

    def has_table(self, name: str) -> bool:
        """Return whether the database has a table; Dagster creates its own at its first start."""
        return self.query(f"select to_regclass('{name}') is not null") == ["True"]

    def graphql(self, query: str, **variables: object) -> dict:
        """Return the data of a GraphQL request, sent as Dagster's UI sends it."""
        body = {"query": query, "variables": variables}
        answer = httpx2.post(f"{self.dagster}/graphql", json=body, timeout=60)
        answer.raise_for_status()
        content = answer.json()
        assert "errors" not in content, content
        return content["data"]

    def asset_nodes(self, months: Sequence[str]) -> dict[str, dict]:
        """Return what the asset graph of the UI shows of each asset that Dagster materialises, by name.

        A partitioned one has `staleStatusByPartition`, the states of these months in their order.
        """
        found = self.graphql(ASSET_NODES)["assetNodes"]
        nodes = {node["assetKey"]["path"][0]: node for node in found if node["isMaterializable"]}
        keys = [{"path": [name]} for name, node in nodes.items() if node["isPartitioned"]]
        for node in self.graphql(PARTITIONS, assetKeys=keys, months=months)["assetNodes"]:
            nodes[node["assetKey"]["path"][0]] |= node
        return nodes

    def launch(self, job: str, *assets: str, **tags: str) -> str:
        """Queue a run of a job, or of some of its assets, as Dagster's UI does; return its id."""
        selection = {"assetSelection": [{"path": [name]} for name in assets], "assetCheckSelection": []}
        parameters = {
            "selector": SELECTOR | {"jobName": job} | (selection if assets else {}),
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": f"dagster/{name}", "value": value} for name, value in tags.items()]},
        }
        result = self.graphql(LAUNCH, params=parameters)["launchPipelineExecution"]
        assert result["__typename"] == "LaunchRunSuccess", result
        return result["run"]["runId"]

    def run_status(self, run_id: str) -> str:
        """Return Dagster's status of a run."""
        return self.graphql(STATUS, id=run_id)["runOrError"]["status"]

    def wait_for_run(self, run_id: str, seconds: float, statuses: Collection[str] = FINISHED) -> str:
        """Wait until a run has one of the statuses; return its last one."""
        deadline = time.monotonic() + seconds
        while (status := self.run_status(run_id)) not in statuses and time.monotonic() < deadline:
            time.sleep(0.5)
        return status

    def wait_until_ready(self, process: subprocess.Popen[str], seconds: float) -> float:
        """Wait until the service and Dagster answer; return the seconds."""
        started = time.monotonic()
        waiting = [f"{self.service}/health/ready", f"{self.dagster}/server_info"]
        while waiting:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() - started < seconds, f"{waiting[0]} is not ready"
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(waiting[0], timeout=5).status_code == 200:
                    waiting.pop(0)
                    continue
            time.sleep(0.2)
        return time.monotonic() - started

    def processes(self) -> list[psutil.Process]:
        """Return every process of this home folder, wherever it is in the process tree."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                excluded = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
                if not excluded and (
                    str(self.home) in " ".join(process.cmdline())
                    or process.environ().get("LOGITRACK_HOME") == str(self.home)
                ):
                    found.append(process)
        return found

    def none_left(self, seconds: float = 15) -> bool:
        """Return whether no process of this home is left within `seconds`."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        return not self.processes()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, subprocess.CompletedProcess[str], float]:
    """The home folder of a `logitrack demo` of MONTHS of the packaged sample, its output and its seconds."""
    installation = Installation(tmp_path_factory.mktemp("demo"))
    started = time.monotonic()
    result = installation.run("demo", timeout=900, LOGITRACK_FIRST_LOAD_MONTHS=str(len(MONTHS)))
    assert result.returncode == 0, result.stdout + result.stderr
    return installation, result, time.monotonic() - started


@pytest.fixture(scope="session")
def running(demo: tuple[Installation, subprocess.CompletedProcess[str], float]) -> Iterator[Installation]:
    """`logitrack up` on the home of the demo, ready, until the tests have ended."""
    installation = demo[0]
    process = installation.start("up")
    try:
        installation.wait_until_ready(process, seconds=180)
        yield installation
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
