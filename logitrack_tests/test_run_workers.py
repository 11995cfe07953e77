"""Orphaned runs are found and ended, stalled ones are found; runs whose worker works are left alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, job
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionResult
from dagster._serdes import serialize_value

from logitrack_assets import run_workers
from logitrack_assets.instance import job_origin
from logitrack_assets.run_workers import (
    MAX_SILENCE,
    MAX_WAIT,
    STOPPED_TAG,
    WORKER_HOST_TAG,
    WORKER_PROCESS_TAG,
    MonitoredRunLauncher,
    WorkerState,
)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@job
def empty() -> None:
    pass


def _run(
    instance: DagsterInstance,
    *,
    worker: int | None = None,
    status: str = "STARTED",
    code_server: Path | None = None,
    host: str | None = None,
) -> DagsterRun:
    """Return a run in a state: launched through a code server, or of the command line when there is none."""
    tags = {WORKER_HOST_TAG: host or socket.gethostname()}
    if code_server is not None:
        tags[GRPC_INFO_TAG] = json.dumps({"host": "localhost", "socket": str(code_server)})
    elif worker is not None:
        tags[WORKER_PROCESS_TAG] = f"{worker} {time.time()}"
    run = instance.create_run_for_job(
        empty, status=DagsterRunStatus(status), tags=tags, remote_job_origin=job_origin("empty")
    )
    if code_server is not None and worker is not None:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(worker))
    return run


@pytest.fixture
def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _status(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored.status


@pytest.fixture(params=["launched", "command line"])
def code_server(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Socket of a code server that has ended, or None for a run of the command line."""
    return tmp_path / "ended.sock" if request.param == "launched" else None


def test_running_worker_is_running(instance: DagsterInstance, code_server: Path | None) -> None:
    run = _run(instance, worker=os.getpid(), code_server=code_server)
    assert run_workers.worker_state(instance, run) is WorkerState.running


def test_ended_worker_is_gone(instance: DagsterInstance, ended_process: int, code_server: Path | None) -> None:
    run = _run(instance, worker=ended_process, code_server=code_server)
    assert run_workers.worker_state(instance, run) is WorkerState.gone


def test_reused_process_number_is_gone(
    instance: DagsterInstance, code_server: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(instance, worker=os.getpid(), code_server=code_server)
    monkeypatch.setattr(run_workers.psutil.Process, "create_time", lambda _: time.time() + 3600)
    assert run_workers.worker_state(instance, run) is WorkerState.gone


def test_worker_of_another_machine_is_unknown(
    instance: DagsterInstance, ended_process: int, code_server: Path | None
) -> None:
    run = _run(instance, worker=ended_process, code_server=code_server, host="another-machine")
    assert run_workers.worker_state(instance, run) is WorkerState.unknown


def test_own_tags_name_this_process(instance: DagsterInstance) -> None:
    run = instance.create_run_for_job(empty, tags=run_workers.worker_tags())
    assert run_workers.worker_state(instance, run) is WorkerState.running


def test_starting_run_is_gone_only_with_its_code_server(instance: DagsterInstance, tmp_path: Path) -> None:
    path = Path(os.path.relpath(tmp_path)) / "s"  # a socket's path is limited to 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        run = _run(instance, status="STARTING", code_server=path)
        assert run_workers.worker_state(instance, run) is WorkerState.unknown
    assert run_workers.worker_state(instance, run) is WorkerState.gone


def test_orphaned_runs_are_ended_and_others_are_not(
    instance: DagsterInstance, ended_process: int, tmp_path: Path
) -> None:
    server = tmp_path / "ended.sock"
    running = _run(instance, worker=os.getpid())
    queued = _run(instance, status="QUEUED")
    started = _run(instance, worker=ended_process, code_server=server)
    canceling = _run(instance, worker=ended_process, status="CANCELING", code_server=server)
    typed = _run(instance, worker=ended_process)
    created = _run(instance, worker=ended_process, status="NOT_STARTED")
    orphaned = {run.run_id for run in run_workers.orphaned_runs(instance)}
    assert orphaned == {started.run_id, canceling.run_id, typed.run_id, created.run_id}

    ended = run_workers.end_orphaned_runs(instance, "logitrack ended.")

    assert {run.run_id for run in ended} == orphaned
    assert {_status(instance, run) for run in (started, typed, created)} == {DagsterRunStatus.FAILURE}
    assert _status(instance, canceling) is DagsterRunStatus.CANCELED
    assert _status(instance, running) is DagsterRunStatus.STARTED
    assert _status(instance, queued) is DagsterRunStatus.QUEUED
    assert any(entry.message == "logitrack ended." for entry in instance.all_logs(started.run_id))
    # A run of the command line and one that a user was canceling are not resumed.
    assert [run.run_id for run in run_workers.stopped_runs(instance)] == [started.run_id]


def test_runs_of_a_replaced_container_are_ended_whatever_their_process_numbers_say(instance: DagsterInstance) -> None:
    queued = _run(instance, status="QUEUED")
    started = _run(instance, worker=os.getpid(), host="the container before")
    canceling = _run(instance, worker=os.getpid(), status="CANCELING")
    ended = run_workers.end_runs_of_replaced_container(instance)
    assert {run.run_id for run in ended} == {started.run_id, canceling.run_id}
    assert _status(instance, started) is DagsterRunStatus.FAILURE
    assert _status(instance, canceling) is DagsterRunStatus.CANCELED
    assert _status(instance, queued) is DagsterRunStatus.QUEUED


def test_run_without_events_and_run_that_does_not_start_are_stalled(instance: DagsterInstance) -> None:
    started = _run(instance, worker=os.getpid())
    waiting = _run(instance, status="NOT_STARTED")
    _run(instance, status="SUCCESS")
    now = datetime.now(UTC)
    assert run_workers.stalled_runs(instance, now) == []
    (silent,) = run_workers.stalled_runs(instance, now + MAX_SILENCE)
    assert silent.run.run_id == started.run_id
    assert silent.text.startswith("a run of empty has reported nothing since")
    found = {stalled.run.run_id: stalled.text for stalled in run_workers.stalled_runs(instance, now + MAX_WAIT)}
    assert set(found) == {started.run_id, waiting.run_id}
    assert found[waiting.run_id].startswith("a run of empty has not started since")


def test_resumed_run_is_resumed_once(instance: DagsterInstance, ended_process: int, tmp_path: Path) -> None:
    run = _run(instance, worker=ended_process, code_server=tmp_path / "ended.sock")
    run_workers.end_orphaned_runs(instance, "logitrack ended.")
    instance.add_run_tags(run.run_id, {STOPPED_TAG: "resumed"})
    assert run_workers.stopped_runs(instance) == []


def test_cancellation_marks_runs_of_this_machine_only(instance: DagsterInstance) -> None:
    typed = _run(instance, worker=os.getpid())
    elsewhere = _run(instance, worker=os.getpid(), host="another-machine")
    run_workers.cancel_active_runs(instance, timeout_seconds=1)
    assert _status(instance, typed) is DagsterRunStatus.CANCELING
    assert _status(instance, elsewhere) is DagsterRunStatus.STARTED


def test_launched_run_that_has_not_begun_is_canceled_at_once(instance: DagsterInstance, tmp_path: Path) -> None:
    """Dagster's worker takes a run that is being canceled before its start for a duplicate, and fails it."""
    run = _run(instance, status="STARTING", code_server=tmp_path / "ended.sock")
    run_workers.cancel_active_runs(instance, timeout_seconds=1)
    assert _status(instance, run) is DagsterRunStatus.CANCELED
    assert [stopped.run_id for stopped in run_workers.stopped_runs(instance)] == [run.run_id]


@pytest.mark.parametrize(
    ("answer", "status", "state"),
    [
        (True, "STARTED", WorkerState.running),
        (False, "STARTED", WorkerState.gone),
        (False, "CANCELING", WorkerState.unknown),
        (None, "STARTED", WorkerState.unknown),
    ],
    ids=["executes it", "does not execute it", "cancels it", "unreachable"],
)
def test_code_server_of_another_machine_is_asked(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, answer: bool | None, status: str, state: WorkerState
) -> None:
    def respond(*_arguments: object, **_options: object) -> str:
        if answer is None:
            raise ConnectionError("no route to host")
        return serialize_value(CanCancelExecutionResult(can_cancel=answer))

    monkeypatch.setattr(run_workers.DagsterGrpcClient, "can_cancel_execution", respond)
    run = _run(instance, status=status)
    instance.add_run_tags(run.run_id, {GRPC_INFO_TAG: json.dumps({"host": "code", "port": 4000})})
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert run_workers.worker_state(instance, stored) is state


def test_launcher_reports_worker_health_to_the_run_monitoring(instance: DagsterInstance, ended_process: int) -> None:
    launcher = MonitoredRunLauncher()
    launcher.register_instance(instance)
    assert launcher.supports_check_run_worker_health
    gone = launcher.check_run_worker_health(_run(instance, worker=ended_process))
    assert gone.status is WorkerStatus.NOT_FOUND
    alive = launcher.check_run_worker_health(_run(instance, worker=os.getpid()))
    assert alive.status is WorkerStatus.RUNNING
