"""Recovery from a killed daemon, a second daemon, a restarted PostgreSQL and a killed worker.

Runs are queued as schedules and the UI queue them. Each month must be materialised once, and none may be lost.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from logitrack_assets.lake import Lake
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.end_to_end.conftest import Installation

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MONTHS = ("2023-01", "2023-02", "2023-03")
MONTHLY = "from runs where partition is not null"  # the daemon's sensors may start a training meanwhile


class Dagster:
    """Dagster's commands on one home folder, with the environment of `logitrack env`."""

    def __init__(self, installation: Installation, source: Path) -> None:
        self.installation = installation
        settings = {
            "LOGITRACK_TLC_URL": str(source),
            "LOGITRACK_FLEETS": "green",
            "LOGITRACK_RETRAIN_INTERVAL_SECONDS": "3600",  # no training during the test of months
        }
        output = installation.run("env", **settings).stdout
        exported = (line.removeprefix("export ").partition("=") for line in output.splitlines())
        self._environment = installation.environment(
            **(settings | {name: value.strip("'") for name, _, value in exported})
        )
        self.daemons: list[subprocess.Popen[bytes]] = []

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments, "-w", str(REPOSITORY / "workspace.yaml")]

    def daemon(self) -> subprocess.Popen[bytes]:
        with (self.installation.home / f"daemon-{len(self.daemons)}.log").open("wb") as log:
            command = self._command("dagster._daemon", "run", "--log-level", "warning")
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=REPOSITORY)
        self.daemons.append(process)
        return process

    def queue(self, month: str) -> None:
        tags = json.dumps({"dagster/partition": month})
        command = self._command("dagster", "job", "launch", "-j", "ingest_month", "--tags", tags)
        result = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr

    def begin(self) -> subprocess.Popen[bytes]:
        """Return a daemon with all months queued that has started the first one."""
        daemon = self.daemon()
        for month in MONTHS:
            self.queue(month)
        self.until({MONTHS[0]: {"STARTED"}}, seconds=120)
        return daemon

    def states(self) -> dict[str, str]:
        """Return the state of each month's newest run."""
        rows = self.installation.query(f"select partition || ' ' || status {MONTHLY} order by id")
        return dict(row.split(" ", 1) for row in rows)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that execute runs: children of the code server."""
        return [
            process
            for process in self.installation.processes()
            if "spawn_main" in " ".join(process.cmdline()) and "grpc" in " ".join(process.parent().cmdline())
        ]

    def runs(self) -> int:
        return int(self.installation.query(f"select count(*) {MONTHLY}")[0])

    def until(self, wanted: dict[str, set[str]], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not all(self.states().get(month) in states for month, states in wanted.items()):
            assert time.monotonic() < deadline, f"{self.states()} and not {wanted}"
            time.sleep(1)


@pytest.fixture
def dagster(tmp_path: Path, tlc_folder: Path) -> Iterator[Dagster]:
    source = tmp_path / "source" / "trip-data"
    source.mkdir(parents=True)
    for month in MONTHS:
        name = f"green_tripdata_{month}.parquet"
        shutil.copyfile(tlc_folder / "trip-data" / name, source / name)
    installation = Installation(tmp_path / "home")
    (tmp_path / "home").mkdir()
    # Holds the embedded server for the whole test, as an external server would stay.
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; from logitrack_assets.database import database_url, migrate; "
         "from logitrack_assets.settings import get_settings; migrate(database_url(get_settings())); "
         "print('up', flush=True); sys.stdin.readline()"],
        env=installation.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    dagster = Dagster(installation, source.parent)
    yield dagster
    for process in dagster.daemons:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    holder.communicate("\n", timeout=60)
    for process in installation.processes():  # workers of the killed daemon
        process.kill()


def _assert_materialized_once(dagster: Dagster, lake: Lake) -> None:
    assert lake.silver_months() == list(MONTHS)
    for month in MONTHS:
        manifest = lake.manifest(month)
        assert manifest is not None
        count = f"select sum(trips) from warehouse.trip_stats_hour where month = '{month}'"
        assert dagster.installation.query(count) == [str(manifest["rows"]["green"]["silver"])]
    assert not list((lake.root / ".staging").glob("month-*")), "no unfinished publication is left"


def test_killed_daemon_is_replaced_by_two_daemons(dagster: Dagster, tmp_path: Path) -> None:
    first = dagster.begin()
    first.kill()
    first.wait()
    # Two replace it. The run of the killed one succeeds or is found dead; the queue is not blocked.
    dagster.daemon()
    dagster.daemon()
    ended = {"SUCCESS", "FAILURE"}
    dagster.until({MONTHS[0]: ended, MONTHS[1]: {"SUCCESS"}, MONTHS[2]: {"SUCCESS"}}, seconds=500)
    assert dagster.runs() == len(MONTHS), "nothing was launched twice"
    if dagster.states()[MONTHS[0]] == "FAILURE":  # found dead: the user runs it again
        dagster.queue(MONTHS[0])
        dagster.until({MONTHS[0]: {"SUCCESS"}}, seconds=240)
    _assert_materialized_once(dagster, Lake(tmp_path / "home"))


def test_postgresql_is_restarted_during_runs(dagster: Dagster, tmp_path: Path) -> None:
    dagster.begin()
    server = psutil.Process(int((tmp_path / "home" / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    os.kill(server.pid, signal.SIGINT)  # a fast shutdown: every connection is cut
    psutil.wait_procs([server], timeout=30)
    time.sleep(2)
    dagster.states()  # a query starts it again
    dagster.until({key: {"SUCCESS", "FAILURE"} for key in MONTHS}, seconds=500)
    assert dagster.runs() == len(MONTHS)
    for month in [month for month, state in dagster.states().items() if state == "FAILURE"]:
        dagster.queue(month)
    dagster.until({key: {"SUCCESS"} for key in MONTHS}, seconds=240)
    _assert_materialized_once(dagster, Lake(tmp_path / "home"))


def test_killed_worker_fails_its_run_and_the_next_run_starts(dagster: Dagster, tmp_path: Path) -> None:
    dagster.begin()
    (worker,) = dagster.workers()
    worker.kill()
    killed_at = time.monotonic()
    dagster.until({MONTHS[0]: {"FAILURE"}}, seconds=180)
    assert time.monotonic() - killed_at < 180
    dagster.until({MONTHS[1]: {"SUCCESS"}, MONTHS[2]: {"SUCCESS"}}, seconds=400)
    dagster.queue(MONTHS[0])
    dagster.until({MONTHS[0]: {"SUCCESS"}}, seconds=240)
    _assert_materialized_once(dagster, Lake(tmp_path / "home"))
