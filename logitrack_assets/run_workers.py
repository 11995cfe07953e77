"""Worker processes of Dagster runs, and unfinished runs that are orphaned or stalled.

An orphaned run has no worker any more. Dagster's default launcher cannot check its workers, so a run whose worker was
killed together with its code server stays STARTED until `dagster/max_runtime`. The launcher here can: `dagster.yaml`
names it, the daemon's run monitoring calls it, and `up`, `doctor` and the health of the platform use the same
functions. A stalled run has made no progress for hours; only a person can tell why.

`python -m logitrack_assets.run_workers` ends the runs of a container that was replaced, before the new one takes runs.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import psutil
from dagster import (
    DagsterError,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._core.storage.tags import GRPC_INFO_TAG, HIDDEN_TAG_PREFIX
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

WORKER_HOST_TAG = f"{HIDDEN_TAG_PREFIX}logitrack_worker_host"
"""Run tag, not shown in the UI: name of the machine whose process numbers the run's events have."""

WORKER_PROCESS_TAG = f"{HIDDEN_TAG_PREFIX}logitrack_worker_process"
"""Run tag of runs of the command line, not shown in the UI: number and start time of the process that executes it."""

STOPPED_TAG = "logitrack/stopped"
"""Run tag: `yes` when the stack ended before the run, `resumed` once it has been launched again."""

IN_PROGRESS_STATUSES = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
"""Statuses of runs that were handed to a worker and have not ended."""

ACTIVE_STATUSES = [DagsterRunStatus.NOT_STARTED, *IN_PROGRESS_STATUSES]
"""Statuses of runs that have or had a worker: every unfinished one but QUEUED."""

MAX_SILENCE = timedelta(hours=2)
"""Time without a new event after which a started run is stalled: longer than any step is without a log line."""

MAX_WAIT = timedelta(hours=6)
"""Time after which a run that has not started is stalled."""

_WAITING_STATUSES = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING]

MAX_CLOCK_STEP_SECONDS = 5
"""A process that started later than this after the event with its number is another one: the number was reused."""

POLL_SECONDS = 0.25
_CONNECT_SECONDS = 2


class WorkerState(StrEnum):
    """State of a run's worker as seen from this machine."""

    running = "running"
    gone = "gone"
    unknown = "unknown"


class MonitoredRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher with a health check of the workers."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run through its code server; record this machine's name when the server runs on it."""
        run = context.dagster_run
        if context.workspace is not None and run.remote_job_origin is not None:
            location = context.workspace.get_code_location(run.remote_job_origin.location_name)
            if isinstance(location, GrpcServerCodeLocation) and location.socket:
                self._instance.add_run_tags(run.run_id, {WORKER_HOST_TAG: socket.gethostname()})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the daemon's run monitoring calls `check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return NOT_FOUND for a run whose worker is gone, else RUNNING."""
        if worker_state(self._instance, run) is WorkerState.gone:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The process that executed the run does not exist.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def worker_state(instance: DagsterInstance, run: DagsterRun) -> WorkerState:
    """Return the state of a run's worker.

    A worker of this machine is found by the process number in the run's events. A code server on another machine says
    whether it executes the run; it must be `dagster api grpc`, because the proxy of `dagster code-server start` answers
    for its newest process only.
    """
    server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if "port" in server:
        return _remote_worker_state(server, run)
    host = socket.gethostname()
    if run.tags.get(WORKER_HOST_TAG, host) != host:
        return WorkerState.unknown
    # A launched run can have the tag of the run of the command line that it repeats.
    worker = (_tagged_process(run) if not server else None) or _recorded_process(instance, run)
    if worker is not None:
        return WorkerState.running if _is_same_process(*worker) else WorkerState.gone
    # No worker has been recorded: it is being started, unless its code server is gone.
    if "socket" in server and not accepts_connections(server["socket"]):
        return WorkerState.gone
    return WorkerState.unknown


def accepts_connections(path: str) -> bool:
    """Return whether a process listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(path)
        except TimeoutError:  # it exists and is busy
            return True
        except OSError:
            return False
    return True


def worker_tags() -> dict[str, str]:
    """Return the tags of a run that this process creates and executes.

    Its events cannot have the process number: creating a run of many months takes seconds before its first event.
    """
    process = psutil.Process()
    return {WORKER_HOST_TAG: socket.gethostname(), WORKER_PROCESS_TAG: f"{process.pid} {process.create_time()}"}


def active_runs(instance: DagsterInstance) -> list[DagsterRun]:
    """Return the runs that have or had a worker and are not finished, newest first."""
    return list(instance.get_runs(RunsFilter(statuses=ACTIVE_STATUSES)))


def orphaned_runs(instance: DagsterInstance) -> list[DagsterRun]:
    """Return the unfinished runs whose worker is gone, newest first."""
    return [run for run in active_runs(instance) if worker_state(instance, run) is WorkerState.gone]


def end_orphaned_runs(instance: DagsterInstance, reason: str) -> list[DagsterRun]:
    """Record the end of every orphaned run and return them.

    A run that was being canceled becomes CANCELED, every other one FAILURE. Runs that a daemon had launched are marked
    with `STOPPED_TAG`, so that the next stack can resume them.

    Args:
        instance: Where the runs are recorded.
        reason: What ended the worker, for the run's events.
    """
    orphaned = orphaned_runs(instance)
    for run in orphaned:
        mark_stopped(instance, run)
        _report_end(instance, run, reason)
    return orphaned


def end_runs_of_replaced_container(instance: DagsterInstance) -> list[DagsterRun]:
    """Record the end of every run in progress and return them.

    Only correct before the code server of the container that executes all runs has started: no worker can exist. Their
    process numbers say nothing here, because a new container has other processes and another host name.
    """
    runs = list(instance.get_runs(RunsFilter(statuses=IN_PROGRESS_STATUSES)))
    for run in runs:
        _report_end(instance, run, "The container that executed this run was stopped or replaced.")
    return runs


def _report_end(instance: DagsterInstance, run: DagsterRun, reason: str) -> None:
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message=reason)
    else:
        instance.report_run_failed(run, message=reason)


@dataclass(frozen=True)
class StalledRun:
    """A run without progress.

    Attributes:
        run: The run.
        text: Since when it has not started, or has reported nothing.
    """

    run: DagsterRun
    text: str


def stalled_runs(instance: DagsterInstance, now: datetime) -> list[StalledRun]:
    """Return the unfinished runs that have reported nothing for 2 hours or have not started for 6, newest first.

    Args:
        instance: Where the runs are recorded.
        now: The present time, with a time zone.
    """
    records = instance.get_run_records(RunsFilter(statuses=[*ACTIVE_STATUSES, DagsterRunStatus.QUEUED]))
    return [stalled for record in records if (stalled := _as_stalled(instance, record, now)) is not None]


def _as_stalled(instance: DagsterInstance, record: RunRecord, now: datetime) -> StalledRun | None:
    run = record.dagster_run
    if run.status in _WAITING_STATUSES:
        since, limit, state = record.create_timestamp, MAX_WAIT, "has not started"
    else:
        newest = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        stamp = newest[0].event_log_entry.timestamp if newest else record.create_timestamp.timestamp()
        since, limit, state = datetime.fromtimestamp(stamp, UTC), MAX_SILENCE, "has reported nothing"
    if now - since < limit:
        return None
    return StalledRun(run, f"a run of {run.job_name} {state} since {since:%Y-%m-%d %H:%M} UTC")


def cancel_active_runs(instance: DagsterInstance, timeout_seconds: float) -> None:
    """Cancel every run that a worker of this machine executes, and wait until the workers have recorded it.

    A run of the command line is recorded as being canceled; the signal to its process ends it. A launched run that has
    not begun is recorded as canceled: its worker, once it has started, finds that and does nothing.
    """
    host = socket.gethostname()
    runs = [run for run in active_runs(instance) if run.tags.get(WORKER_HOST_TAG) == host]
    launched = {run.run_id for run in runs if GRPC_INFO_TAG in run.tags}
    for run in runs:
        mark_stopped(instance, run)
        if run.run_id in launched and run.status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING):
            instance.report_run_canceled(run)
        elif run.run_id in launched:
            _terminate(instance, run)
        elif run.status is not DagsterRunStatus.CANCELING:
            instance.report_run_canceling(run)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if not launched & {run.run_id for run in active_runs(instance)}:
            return
        time.sleep(POLL_SECONDS)


def _terminate(instance: DagsterInstance, run: DagsterRun) -> None:
    try:
        instance.run_launcher.terminate(run.run_id)
    except (DagsterError, OSError) as error:  # its code server is gone; `end_orphaned_runs` records the end
        instance.report_engine_event(f"The code server did not take the termination ({error}).", run)


def mark_stopped(instance: DagsterInstance, run: DagsterRun) -> None:
    """Mark a run that ends because its stack ends; a run of the command line is left to its user."""
    if GRPC_INFO_TAG in run.tags and run.status is not DagsterRunStatus.CANCELING:
        instance.add_run_tags(run.run_id, {STOPPED_TAG: "yes"})


def stopped_runs(instance: DagsterInstance) -> list[DagsterRun]:
    """Return the runs that ended with their stack and have not been resumed, oldest first."""
    return list(reversed(instance.get_runs(RunsFilter(tags={STOPPED_TAG: "yes"}))))


def _tagged_process(run: DagsterRun) -> tuple[int, float] | None:
    """Return number and start time of the process of a run of the command line."""
    number, _, started = run.tags.get(WORKER_PROCESS_TAG, "").partition(" ")
    return (int(number), float(started)) if started else None


def _recorded_process(instance: DagsterInstance, run: DagsterRun) -> tuple[int, float] | None:
    """Return the newest process number in a run's events, with the time of its event."""
    for entry in reversed(instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)):
        event = entry.dagster_event
        number = event.engine_event_data.metadata.get("pid") if event is not None else None
        if number is not None:
            return int(str(number.value)), entry.timestamp
    return None


def _is_same_process(number: int, seen_at: float) -> bool:
    """Return whether the process that had this number at a time (seconds since 1970) still runs."""
    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return float(process.create_time()) <= seen_at + MAX_CLOCK_STEP_SECONDS
    except psutil.NoSuchProcess:
        return False


def _remote_worker_state(server: dict[str, object], run: DagsterRun) -> WorkerState:
    client = DagsterGrpcClient(
        host=str(server["host"]), port=int(str(server["port"])), use_ssl=bool(server.get("use_ssl"))
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_CONNECT_SECONDS)
    except Exception:
        return WorkerState.unknown
    if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
        return WorkerState.running
    # The server does not execute the run, or already cancels it.
    return WorkerState.unknown if run.status is DagsterRunStatus.CANCELING else WorkerState.gone


def _main() -> None:
    """End the runs of the container before this one."""
    with DagsterInstance.get() as instance:
        for run in end_runs_of_replaced_container(instance):
            print(f"Ended run {run.run_id} of {run.job_name}: its container was stopped or replaced.", flush=True)


if __name__ == "__main__":
    _main()
