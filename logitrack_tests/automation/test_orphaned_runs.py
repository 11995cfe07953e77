"""Runs that ended with their container are failed; all others stay as they are."""

from __future__ import annotations

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.utils import make_new_run_id

from logitrack_assets.automation.orphaned_runs import fail_orphaned_runs


def test_only_runs_in_progress_are_failed() -> None:
    orphaned = {DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING}
    with DagsterInstance.ephemeral() as instance:
        before = {}
        for status in set(DagsterRunStatus) - {DagsterRunStatus.QUEUED}:  # a queued run needs a location to wait for
            run = DagsterRun(job_name="ingest_month", run_id=make_new_run_id(), status=status)
            before[instance.add_run(run).run_id] = status
        failed = fail_orphaned_runs(instance)
        after = {run.run_id: run.status for run in instance.get_runs()}
    assert set(failed) == {run_id for run_id, status in before.items() if status in orphaned}
    for run_id, status in before.items():
        assert after[run_id] == (DagsterRunStatus.FAILURE if status in orphaned else status)
