"""Old runs and their logs go, and old requests to the service; the newest materialisation of everything stays, with
the run that made it.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterInstance,
    DefaultScheduleStatus,
    OpExecutionContext,
    RunsFilter,
    ScheduleDefinition,
    job,
    op,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from sqlalchemy import create_engine, text

from logitrack_assets.database import database_url, migrate
from logitrack_assets.settings import get_settings

_PAGE = 500
MAX_DELETE_ROWS = 20_000
"""Rows deleted in one transaction: the service goes on writing meanwhile."""

_REQUESTS = {"predictions": "at", "outcomes": "reported_at", "audit_events": "at"}  # table: when it happened


def runs_to_keep(instance: DagsterInstance, checks: Iterable[AssetCheckKey]) -> set[str]:
    """Runs that hold the newest materialisation of an asset's partition, or the newest result of a check.

    Deleting a run deletes its events, and with them what Dagster knows of the assets it made.
    """
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    kept = {record.run_id for record in newest.values()}
    for key in instance.all_asset_keys():
        seen: set[str | None] = set()
        for partition, run_id in _materializations(instance, key):
            if partition not in seen:
                seen.add(partition)
                kept.add(run_id)
    return kept


def remove_old_runs(
    instance: DagsterInstance, before: datetime, compute_logs: Path, checks: Iterable[AssetCheckKey]
) -> int:
    """Deletes finished runs created before a moment, and their logs, except those to keep; gives their number."""
    expired = set(_finished(instance, before)) - runs_to_keep(instance, checks)
    for run_id in expired:
        instance.delete_run(run_id)
        shutil.rmtree(compute_logs / run_id, ignore_errors=True)
    return len(expired)


def remove_old_requests(url: str, before: datetime) -> dict[str, int]:
    """Deletes logged predictions, outcomes and audit events from before a moment; gives their numbers by table."""
    engine = create_engine(url)
    removed = dict.fromkeys(_REQUESTS, 0)
    for name, at in _REQUESTS.items():
        some = text(
            f"delete from service.{name} where ctid = any(array("
            f"select ctid from service.{name} where {at} < :before order by {at} limit :most))"
        )
        while True:
            with engine.begin() as connection:
                count = connection.execute(some, {"before": before, "most": MAX_DELETE_ROWS}).rowcount
            removed[name] += count
            if count < MAX_DELETE_ROWS:
                break
    engine.dispose()
    return removed


def _materializations(instance: DagsterInstance, key: AssetKey) -> Iterator[tuple[str | None, str]]:
    """(partition, run) of an asset's materialisations, newest first."""
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
        yield from ((record.partition_key, record.run_id) for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def _finished(instance: DagsterInstance, before: datetime) -> Iterator[str]:
    cursor: str | None = None
    while True:
        runs = instance.get_runs(
            RunsFilter(statuses=FINISHED_STATUSES, created_before=before), limit=_PAGE, cursor=cursor
        )
        yield from (run.run_id for run in runs)
        if len(runs) < _PAGE:
            return
        cursor = runs[-1].run_id


@op(description="Deletes runs older than LOGITRACK_KEEP_RUNS_DAYS, never one that a newest materialisation needs.")
def remove_old_runs_and_logs(context: OpExecutionContext) -> None:
    before = datetime.now(UTC) - timedelta(days=get_settings().keep_runs_days)
    checks = context.repository_def.asset_graph.asset_check_keys
    removed = remove_old_runs(context.instance, before, Path(os.environ["LOGITRACK_COMPUTE_LOGS"]), checks)
    context.log.info(f"{removed} runs from before {before:%Y-%m-%d} removed, with their logs")


@op(description="Deletes logged predictions, outcomes and audit events older than LOGITRACK_KEEP_REQUESTS_DAYS.")
def remove_old_requests_to_the_service(context: OpExecutionContext) -> None:
    settings = get_settings()
    before = datetime.now(UTC) - timedelta(days=settings.keep_requests_days)
    url = database_url(settings)
    migrate(url)
    removed = remove_old_requests(url, before)
    context.log.info(
        ", ".join(f"{count} {name}" for name, count in removed.items()) + f" from before {before:%Y-%m-%d} removed"
    )


@job(description="Storage does not grow without bound: old runs and their logs, and old requests, are removed.")
def clean_up() -> None:
    remove_old_runs_and_logs()
    remove_old_requests_to_the_service()


clean_up_weekly = ScheduleDefinition(
    job=clean_up,
    cron_schedule="30 4 * * 0",
    execution_timezone="America/New_York",
    default_status=DefaultScheduleStatus.RUNNING,
)
