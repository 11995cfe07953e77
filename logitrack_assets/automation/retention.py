"""Removal of old runs with their logs, and of old requests to the service.

The newest materialisation of each asset partition and the newest result of each check stay, with their runs.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

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
from psycopg import sql

from logitrack_assets.resources import RetentionPolicy, WarehouseResource
from logitrack_assets.warehouse import Warehouse

PAGE_SIZE = 500
MAX_DELETED_ROWS = 20_000
"""Rows deleted in one transaction, so that the service can write in between."""

_TIME_COLUMNS = {
    "predictions": "at",
    "outcomes": "reported_at",
    "live_states": "created_at",
    "audit_events": "at",
    "usage": "day",
}
"""Tables of the service schema to the column with the time of a row."""


def runs_to_keep(instance: DagsterInstance, checks: Iterable[AssetCheckKey]) -> set[str]:
    """Return the runs with the newest materialisation of an asset partition or the newest result of a check.

    Deleting a run deletes its events, and so Dagster's record of what it materialised.
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


def remove_old_runs(instance: DagsterInstance, before: datetime, checks: Iterable[AssetCheckKey]) -> int:
    """Delete finished runs created before a time, and their logs, except those to keep; return their number."""
    expired = set(_finished_runs(instance, before)) - runs_to_keep(instance, checks)
    for run_id in expired:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(expired)


def remove_old_requests(warehouse: Warehouse, before: datetime) -> dict[str, int]:
    """Delete predictions, outcomes, usage and audit events from before a time; return the rows deleted by table."""
    return {table: _delete_rows(warehouse, table, column, before) for table, column in _TIME_COLUMNS.items()}


def _delete_rows(warehouse: Warehouse, table: str, column: str, before: datetime) -> int:
    statement = sql.SQL(
        "delete from {table} where ctid = any(array("
        "select ctid from {table} where {column} < %s order by {column} limit %s))"
    ).format(table=sql.Identifier("service", table), column=sql.Identifier(column))
    deleted = 0
    while True:
        with warehouse.connect() as connection:
            rows = connection.execute(statement, (before, MAX_DELETED_ROWS)).rowcount
        deleted += rows
        if rows < MAX_DELETED_ROWS:
            return deleted


def _materializations(instance: DagsterInstance, key: AssetKey) -> Iterator[tuple[str | None, str]]:
    """Yield (partition, run) of an asset's materialisations, newest first."""
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(key, limit=PAGE_SIZE, cursor=cursor)
        yield from ((record.partition_key, record.run_id) for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def _finished_runs(instance: DagsterInstance, before: datetime) -> Iterator[str]:
    cursor: str | None = None
    while True:
        runs = instance.get_runs(
            RunsFilter(statuses=FINISHED_STATUSES, created_before=before), limit=PAGE_SIZE, cursor=cursor
        )
        yield from (run.run_id for run in runs)
        if len(runs) < PAGE_SIZE:
            return
        cursor = runs[-1].run_id


@op
def remove_old_runs_and_logs(context: OpExecutionContext, retention: RetentionPolicy) -> None:
    """Delete runs older than LOGITRACK_KEEP_RUNS_DAYS, except those with a newest materialisation."""
    before = datetime.now(UTC) - timedelta(days=retention.keep_runs_days)
    checks = context.repository_def.asset_graph.asset_check_keys
    removed = remove_old_runs(context.instance, before, checks)
    context.log.info(f"{removed} runs from before {before:%Y-%m-%d} removed, with their logs")


@op
def remove_old_requests_to_the_service(
    context: OpExecutionContext, retention: RetentionPolicy, warehouse: WarehouseResource
) -> None:
    """Delete predictions, outcomes and audit events older than LOGITRACK_KEEP_REQUESTS_DAYS."""
    before = datetime.now(UTC) - timedelta(days=retention.keep_requests_days)
    removed = remove_old_requests(warehouse.open(), before)
    counts = ", ".join(f"{count} {table}" for table, count in removed.items())
    context.log.info(f"{counts} from before {before:%Y-%m-%d} removed")


@job
def clean_up() -> None:
    """Remove old runs with their logs, and old requests, so that storage does not grow without a bound."""
    remove_old_runs_and_logs()
    remove_old_requests_to_the_service()


clean_up_weekly = ScheduleDefinition(
    name="clean_up_weekly",
    job=clean_up,
    description="Every Sunday: removes runs, logs and requests that are older than the settings keep them.",
    cron_schedule="30 4 * * 0",
    execution_timezone="America/New_York",
    default_status=DefaultScheduleStatus.RUNNING,
)
