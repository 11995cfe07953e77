"""Runs of the command line: their origin, their report, and their record when they fail or are interrupted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
    in_process_executor,
    job,
    op,
    reconstructable,
)
from rich.console import Console

from logitrack_assets.commands.runs import execute_job_here
from logitrack_assets.run_workers import WorkerState, worker_state


@op
def good() -> None:
    pass


@op
def bad() -> None:
    raise Failure("the file is broken")


@op
def interrupted() -> None:
    raise KeyboardInterrupt


@job(executor_def=in_process_executor)
def good_job() -> None:
    good()


@job(executor_def=in_process_executor)
def bad_job() -> None:
    bad()


@job(executor_def=in_process_executor)
def interrupted_job() -> None:
    interrupted()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def _only_run(instance: DagsterInstance) -> DagsterRun:
    (run,) = instance.get_runs()
    return run


def test_run_has_the_origin_of_the_code_location(instance: DagsterInstance) -> None:
    output = io.StringIO()
    console = Console(file=output)
    report = execute_job_here(instance, reconstructable(good_job), console, tags={"reason": "test"}, config={})
    run = _only_run(instance)
    assert report.success
    assert report.run_id == run.run_id
    assert list(report.seconds) == ["good"]
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.tags["reason"] == "test"
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.repository_origin.get_label() == "__repository__@logitrack"
    assert run.remote_job_origin.job_name == "good_job"
    assert run.job_code_origin is not None
    assert worker_state(instance, run) is WorkerState.running
    assert "good" in output.getvalue()


def test_failed_run_is_reported_with_its_reason(instance: DagsterInstance) -> None:
    console = Console(file=io.StringIO())
    report = execute_job_here(instance, reconstructable(bad_job), console, tags={}, config={})
    assert not report.success
    assert report.failures == ["bad: the file is broken"]
    assert _only_run(instance).status is DagsterRunStatus.FAILURE


def test_interrupted_run_is_recorded_as_canceled(instance: DagsterInstance) -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        execute_job_here(instance, reconstructable(interrupted_job), console, tags={}, config={})
    assert _only_run(instance).status is DagsterRunStatus.CANCELED
