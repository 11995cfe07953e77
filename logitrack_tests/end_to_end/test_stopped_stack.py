"""Ctrl-C and SIGKILL of `logitrack up` during a run: no run stays in progress, and the next `up` resumes it once."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.end_to_end.conftest import Installation

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

LAUNCHES = {"ingest": ("ingest_month", {"partition": "2019-03"}), "training": ("retrain_eta", {})}
ENDED = {signal.SIGINT: "CANCELED", signal.SIGKILL: "FAILURE"}
GHOSTS = "select run_id from runs where status in ('NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')"
MAX_GHOST_SECONDS = 60


@contextmanager
def _up(installation: Installation) -> Iterator[subprocess.Popen[str]]:
    process = installation.start("up")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=180)


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def _stop(installation: Installation, process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.wait(timeout=120)  # and not for the end of its output: what a killed stack leaves goes on writing
    if number is signal.SIGINT:
        assert installation.none_left(), [process.cmdline() for process in installation.processes()]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation of the packaged sample with a champion, stopped."""
    installation = Installation(tmp_path_factory.mktemp("stopped"))
    result = installation.run("demo", timeout=1200)
    assert result.returncode == 0, result.stdout + result.stderr
    return installation


@pytest.mark.parametrize("number", ENDED, ids=["SIGINT", "SIGKILL"])
@pytest.mark.parametrize("phase", LAUNCHES)
def test_run_is_ended_and_resumed_once(installation: Installation, number: signal.Signals, phase: str) -> None:
    job, tags = LAUNCHES[phase]
    with _up(installation) as process:
        installation.wait_until_ready(process, seconds=300)
        run_id = installation.launch(job, **tags)
        assert installation.wait_for_run(run_id, 120, ("STARTED",)) == "STARTED"
        started = f"select count(*) from event_logs where run_id = '{run_id}' and dagster_event_type = 'STEP_START'"
        _wait_until(lambda: installation.query(started) != ["0"], seconds=60)
        _stop(installation, process, number)
    with _up(installation) as process:
        status = f"select status from runs where run_id = '{run_id}'"
        _wait_until(lambda: installation.query(status) == [ENDED[number]], seconds=MAX_GHOST_SECONDS)
        installation.wait_until_ready(process, seconds=300)
        resumed = (
            "select r.run_id from runs r join run_tags t using (run_id) "
            f"where t.key = 'dagster/parent_run_id' and t.value = '{run_id}'"
        )
        _wait_until(lambda: len(installation.query(resumed)) == 1, seconds=MAX_GHOST_SECONDS)
        assert run_id not in installation.query(GHOSTS)
        (again,) = installation.query(resumed)
        assert installation.wait_for_run(again, seconds=600) == "SUCCESS"
        assert installation.query(resumed) == [again], "resumed once"
    with _up(installation) as process:  # a later start resumes nothing
        installation.wait_until_ready(process, seconds=300)
        assert installation.query(resumed) == [again]


@pytest.mark.parametrize("number", ENDED, ids=["SIGINT", "SIGKILL"])
def test_first_load_is_ended_and_done_again(tmp_path: Path, number: signal.Signals) -> None:
    installation = Installation(tmp_path / "home")
    step = "select count(*) from event_logs where dagster_event_type = 'STEP_START'"
    with _up(installation) as first:
        _wait_until(lambda: (installation.home / "postgres" / "postmaster.pid").exists(), seconds=60)
        _wait_until(lambda: installation.has_table("event_logs") and installation.query(step) != ["0"], seconds=120)
        (run_id,) = installation.query("select run_id from runs")
        _stop(installation, first, number)
    with _up(installation) as process:
        _wait_until(lambda: run_id not in installation.query(GHOSTS), seconds=MAX_GHOST_SECONDS)
        assert installation.query(f"select status from runs where run_id = '{run_id}'") == [ENDED[number]]
        installation.wait_until_ready(process, seconds=1000)
        assert ModelRegistry(installation.home / "models").champion() is not None
        ingests = "select status from runs where pipeline_name = 'ingest_month' order by id"
        assert installation.query(ingests) == [ENDED[number], "SUCCESS"], "done again, once"
    assert installation.none_left()
