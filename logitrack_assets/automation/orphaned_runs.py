"""Runs whose processes ended with their container: failed before its code server starts again.

Dagster's default launcher cannot tell whether the worker of a run still lives, so a run that was killed together with
its code server stays started until its time limit, and the queue behind it waits.

Usage: `python -m logitrack_assets.automation.orphaned_runs`, in the container that executes runs, before anything else.
"""

from __future__ import annotations

from dagster import DagsterInstance, RunsFilter

from logitrack_assets.run_workers import IN_PROGRESS_STATUSES


def fail_orphaned_runs(instance: DagsterInstance) -> list[str]:
    """Report every run in progress as failed and return their ids.

    Only correct where no process of a run can be alive: a new container has none, and all runs are executed in it.
    """
    orphans = instance.get_runs(filters=RunsFilter(statuses=IN_PROGRESS_STATUSES))
    for run in orphans:
        instance.report_run_failed(run, message="The container that executed this run was stopped or replaced.")
    return [run.run_id for run in orphans]


def _main() -> None:
    """Fail the orphaned runs of this installation."""
    with DagsterInstance.get() as instance:
        for run_id in fail_orphaned_runs(instance):
            print(f"run {run_id} ended with its container: reported as failed", flush=True)


if __name__ == "__main__":
    _main()
