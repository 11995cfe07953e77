"""Dagster runs in this process, recorded in the instance, with their progress on the terminal."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, EventLogEntry
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import execute_run_iterator
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from rich.console import Console

from logitrack_assets.instance import DEFINITIONS_MODULE, job_origin
from logitrack_assets.run_workers import worker_tags

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

    The run has the origin of the code location, so that Dagster's UI treats it like one that it launched itself.

    Args:
        instance: Where the run is recorded.
        name: Name of the job.
        console: Receives the progress.
        months: First and last month, for a job with partitions.
        config: Run configuration.
        tags: Tags of the run.

    Raises:
        KeyboardInterrupt: A signal interrupted the run, which is recorded as canceled.
    """
    all_tags = dict(tags or {})
    if months is not None:
        all_tags |= {ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[1]}
    job = ReconstructableRepository.for_module(DEFINITIONS_MODULE, "defs").get_reconstructable_job(name)
    return execute_job_here(instance, job, console, tags=all_tags, config=config or {})


def execute_job_here(
    instance: DagsterInstance,
    job: ReconstructableJob,
    console: Console,
    *,
    tags: dict[str, str],
    config: dict[str, Any],
) -> RunReport:
    """Run a job in this process and return its report.

    Args:
        instance: Where the run is recorded.
        job: The job; a launched run of it loads its definition anew.
        console: Receives the progress.
        tags: Tags of the run.
        config: Run configuration.

    Raises:
        KeyboardInterrupt: A signal interrupted the run, which is recorded as canceled.
    """
    logging.getLogger("dagster").setLevel(logging.CRITICAL)  # the printer below shows the progress
    run = _create_run(instance, job, worker_tags() | tags, _QUIET_LOGGER | config)
    printer = _ProgressPrinter(instance, run.run_id, console)
    printer.start()
    try:
        _execute(instance, job, run)
    finally:
        printer.stop()
    ended = instance.get_run_by_id(run.run_id)
    status = ended.status if ended is not None else None
    if status is DagsterRunStatus.CANCELED:
        raise KeyboardInterrupt
    return RunReport(run.run_id, status is DagsterRunStatus.SUCCESS, printer.seconds, printer.failures)


def _create_run(
    instance: DagsterInstance, job: ReconstructableJob, tags: dict[str, str], config: dict[str, Any]
) -> DagsterRun:
    definition = job.get_definition()
    return instance.create_run_for_job(
        definition,
        run_config=config,
        tags={**definition.run_tags, **tags},
        remote_job_origin=job_origin(definition.name),
        job_code_origin=job.get_python_origin(),
    )


def _execute(instance: DagsterInstance, job: ReconstructableJob, run: DagsterRun) -> None:
    """Execute a run; a signal, which Dagster reports as an interrupted step, cancels it."""
    try:
        for event in execute_run_iterator(job, run, instance):
            if event.is_step_failure and event.step_failure_data.error_source is ErrorSource.INTERRUPT:
                _report_canceling(instance, run.run_id)
    except BaseException:
        _report_canceled(instance, run.run_id)
        raise


def _report_canceling(instance: DagsterInstance, run_id: str) -> None:
    """Record that a run is being canceled, without which Dagster would record the interrupt as a failure."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, message="Interrupted on the command line.")


def _report_canceled(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, message="Interrupted on the command line.")


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
