"""Dagster runs in this process, recorded in the instance, with progress that a person can follow."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.utils import make_new_run_id
from rich.console import Console

from logitrack_assets.definitions import defs


@dataclass
class RunReport:
    """What became of a run: its id, whether it succeeded, seconds by step, and a sentence for each failure."""

    run_id: str
    success: bool
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run_job(
    instance: DagsterInstance,
    name: str,
    console: Console,
    *,
    months: tuple[str, str] | None = None,
    config: dict | None = None,
    tags: dict[str, str] | None = None,
) -> RunReport:
    """Runs a job of ours here and now, for a range of months where it has partitions."""
    run_id = make_new_run_id()
    all_tags = dict(tags or {})
    if months is not None:
        all_tags |= {ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[1]}
    logging.getLogger("dagster").setLevel(logging.CRITICAL)  # the follower below says it for people
    follower = _Follower(instance, run_id, console)
    follower.start()
    try:
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=all_tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}} | (config or {}),
            raise_on_error=False,
        )
    except BaseException:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, message="Interrupted from the command line.")
        raise
    finally:
        follower.stop()
    status = instance.get_run_by_id(run_id)
    success = result.success and status is not None and status.status == DagsterRunStatus.SUCCESS
    return RunReport(run_id, success, follower.seconds, follower.failures)


class _Follower(threading.Thread):
    """Reads a run's events as they are stored and prints what people want to know."""

    def __init__(self, instance: DagsterInstance, run_id: str, console: Console) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[str, float] = {}
        self.failures: list[str] = []
        self._instance, self._run_id, self._console = instance, run_id, console
        self._cursor: str | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.5):
            self._read()

    def stop(self) -> None:
        self._ended.set()
        self.join(timeout=10)
        self._read()

    def _read(self) -> None:
        while True:
            page = self._instance.get_records_for_run(self._run_id, cursor=self._cursor, limit=200)
            for record in page.records:
                self._say(record.event_log_entry)
            if not page.records:
                return
            self._cursor = page.cursor

    def _say(self, entry: EventLogEntry) -> None:
        event = entry.dagster_event
        step = entry.step_key or ""
        if event is None:
            if int(entry.level) >= logging.WARNING:
                self._console.print(f"    {step}: {entry.user_message}", style="yellow", highlight=False, markup=False)
            elif int(entry.level) >= logging.INFO:
                self._console.print(f"    {step}: {entry.user_message}", style="dim", highlight=False, markup=False)
        elif event.event_type == DagsterEventType.STEP_START:
            self._console.print(f"  … {step}", style="dim")
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            self.seconds[step] = round(event.step_success_data.duration_ms / 1000, 2)
            self._console.print(f"  [green]✓[/] {step} [dim]{self.seconds[step]:.1f} s[/]")
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            failure = event.step_failure_data
            reason = failure.user_failure_data.description if failure.user_failure_data else None
            if reason is None and failure.error is not None:
                cause = failure.error.cause or failure.error
                reason = cause.message.strip()
            self.failures.append(f"{step}: {reason or 'failed'}")
            self._console.print(f"  [red]✗[/] {step}", highlight=False)
