"""Dagster runs in this process, recorded in the instance, with their progress on the terminal."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.utils import make_new_run_id
from rich.console import Console

from logitrack_assets.definitions import defs

POLL_SECONDS = 0.5
PAGE_SIZE = 200
_QUIET_LOGGER = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunReport:
    """The result of a run.

    Attributes:
        run_id: Dagster's id.
        success: Whether it succeeded.
        seconds: Duration by step.
        failures: One sentence for each failed step.
    """

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
    config: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
) -> RunReport:
    """Run a job of the code location in this process and return its report.

    Args:
        instance: Where the run is recorded.
        name: Name of the job.
        console: Receives the progress.
        months: First and last month, for a job with partitions.
        config: Run configuration.
        tags: Tags of the run.
    """
    run_id = make_new_run_id()
    all_tags = dict(tags or {})
    if months is not None:
        all_tags |= {ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[1]}
    logging.getLogger("dagster").setLevel(logging.CRITICAL)  # the printer below shows the progress
    printer = _ProgressPrinter(instance, run_id, console)
    printer.start()
    try:
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=all_tags,
            run_config=_QUIET_LOGGER | (config or {}),
            raise_on_error=False,
        )
    except BaseException:
        _report_interrupted(instance, run_id)
        raise
    finally:
        printer.stop()
    run = instance.get_run_by_id(run_id)
    success = result.success and run is not None and run.status == DagsterRunStatus.SUCCESS
    return RunReport(run_id, success, printer.seconds, printer.failures)


def _report_interrupted(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, message="Interrupted from the command line.")


class _ProgressPrinter(threading.Thread):
    """Prints the events of a run as they are stored."""

    def __init__(self, instance: DagsterInstance, run_id: str, console: Console) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[str, float] = {}
        self.failures: list[str] = []
        self._instance, self._run_id, self._console = instance, run_id, console
        self._cursor: str | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Print until `stop` is called."""
        while not self._ended.wait(POLL_SECONDS):
            self._print_new_events()

    def stop(self) -> None:
        """Print what is left and end the thread."""
        self._ended.set()
        self.join(timeout=10)
        self._print_new_events()

    def _print_new_events(self) -> None:
        while True:
            page = self._instance.get_records_for_run(self._run_id, cursor=self._cursor, limit=PAGE_SIZE)
            for record in page.records:
                self._print_entry(record.event_log_entry)
            if not page.records:
                return
            self._cursor = page.cursor

    def _print_entry(self, entry: EventLogEntry) -> None:
        if entry.dagster_event is not None:
            self._print_event(entry.step_key or "", entry.dagster_event)
        elif int(entry.level) >= logging.INFO:
            style = "yellow" if int(entry.level) >= logging.WARNING else "dim"
            line = f"    {entry.step_key or ''}: {entry.user_message}"
            self._console.print(line, style=style, highlight=False, markup=False)

    def _print_event(self, step: str, event: DagsterEvent) -> None:
        if event.event_type == DagsterEventType.STEP_START:
            self._console.print(f"  … {step}", style="dim")
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            self.seconds[step] = round(event.step_success_data.duration_ms / 1000, 2)
            self._console.print(f"  [green]✓[/] {step} [dim]{self.seconds[step]:.1f} s[/]")
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            self.failures.append(f"{step}: {_failure_reason(event)}")
            self._console.print(f"  [red]✗[/] {step}", highlight=False)


def _failure_reason(event: DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    if failure.error is not None:
        return (failure.error.cause or failure.error).message.strip()
    return "failed"
