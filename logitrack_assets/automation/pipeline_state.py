"""The state of the pipeline in PostgreSQL, for the HTTP service, which imports no Dagster.

A sensor copies it every half minute from where it is recorded: runs, events and heartbeats in Dagster's storage, check
results in the lake, probes of the source. It replaces all rows, so nothing grows, and a restart needs no repair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DefaultSensorStatus,
    RunRecord,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from logitrack_assets.automation.conditions import source_unreachable_since
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import ERROR
from logitrack_assets.partitions import month_range, months_of_run
from logitrack_assets.platform_health import PlatformResource
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.run_workers import orphaned_runs, stalled_runs
from logitrack_assets.trips.asset_names import TRIP_ASSETS
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.source import PublishedFile
from logitrack_assets.trips.verdicts import recorded_problems
from logitrack_assets.warehouse import Warehouse

MAX_RUNS = 50
MAX_ERRORS = 500
"""Newest errors of each asset among which the failures of months are looked for."""
MAX_CHARACTERS = 2_000
"""Of a reason."""
_PUBLISHED_KEY = "logitrack/published_files"


@dataclass(frozen=True)
class PipelineRun:
    """A run, as a row of `warehouse.pipeline_runs`.

    Attributes:
        run_id: Dagster's id.
        job: Name of the job.
        status: Dagster's status, such as `STARTED`.
        first_month: First month of the run, `YYYY-MM`; None for a run without months.
        last_month: Last month of the run.
        reason: Why it was launched; None for a run by hand.
        problem: Why it does not go on; None unless it is orphaned or stalled.
        created_at: When it was requested.
        started_at: When it started; None before.
        ended_at: When it ended; None before.
    """

    run_id: str
    job: str
    status: str
    first_month: str | None
    last_month: str | None
    reason: str | None
    problem: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class PipelineMonth:
    """A month of a fleet, as a row of `warehouse.pipeline_months`.

    Attributes:
        month: `YYYY-MM`.
        fleet: Name of the fleet.
        published: Whether the source has the file; None if it was not probed.
        failure: Why the month was not ingested or failed its blocking checks; None otherwise.
        run_id: The run of the failure, where it is known.
    """

    month: str
    fleet: str
    published: bool | None
    failure: str | None
    run_id: str | None


@dataclass(frozen=True)
class MonthFailure:
    """Why a month failed, and in which run if that is known."""

    reason: str
    run_id: str | None


def record_published(instance: DagsterInstance, found: Mapping[tuple[str, str], PublishedFile | None]) -> None:
    """Remember which (fleet, month) the source has; what was not probed now keeps its earlier state."""
    published = read_published(instance) | {file: entry is not None for file, entry in found.items()}
    document = json.dumps({"/".join(file): state for file, state in sorted(published.items())})
    instance.daemon_cursor_storage.set_cursor_values({_PUBLISHED_KEY: document})


def read_published(instance: DagsterInstance) -> dict[tuple[str, str], bool]:
    """Return whether the source has a (fleet, month), of those that were probed."""
    stored = instance.daemon_cursor_storage.get_cursor_values({_PUBLISHED_KEY}).get(_PUBLISHED_KEY, "{}")
    return {tuple(name.split("/", 1)): state for name, state in json.loads(stored).items()}


def recent_runs(instance: DagsterInstance, now: datetime) -> list[PipelineRun]:
    """Return the newest runs, newest first."""
    problems = {stalled.run.run_id: stalled.text for stalled in stalled_runs(instance, now)}
    problems |= {run.run_id: "its process is gone" for run in orphaned_runs(instance)}
    return [_as_run(record, problems) for record in instance.get_run_records(limit=MAX_RUNS)]


def _as_run(record: RunRecord, problems: Mapping[str, str]) -> PipelineRun:
    run = record.dagster_run
    months = months_of_run(run.tags)
    return PipelineRun(
        run_id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        first_month=months[0] if months else None,
        last_month=months[-1] if months else None,
        reason=run.tags.get("logitrack/reason"),
        problem=problems.get(run.run_id),
        created_at=record.create_timestamp,
        started_at=_instant(record.start_time),
        ended_at=_instant(record.end_time),
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def failed_months(instance: DagsterInstance, lake: Lake) -> dict[str, MonthFailure]:
    """Return the months whose last ingestion failed, or that failed a blocking check, with the reason."""
    failures = {
        month: MonthFailure("; ".join(problems), None)
        for month in lake.silver_months()
        if (problems := recorded_problems(lake.check_results(month)))
    }
    for name in TRIP_ASSETS:
        key = AssetKey(name)
        materialized = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION
        )
        for record in instance.fetch_observations(AssetRecordsFilter(key), limit=MAX_ERRORS, ascending=True).records:
            observation = record.asset_observation
            if observation is None or ERROR not in observation.metadata or record.partition_key is None:
                continue
            if record.storage_id > materialized.get(record.partition_key, 0):
                reason = str(observation.metadata[ERROR].value)
                failures[record.partition_key] = MonthFailure(reason, record.run_id)
    return failures


def pipeline_months(
    fleets: Sequence[str],
    ingested: Sequence[str],
    published: Mapping[tuple[str, str], bool],
    failures: Mapping[str, MonthFailure],
) -> list[PipelineMonth]:
    """Return every month of every fleet, from the first to the last one that anything is known of.

    Args:
        fleets: Names of the fleets.
        ingested: Months in the lake, `YYYY-MM`.
        published: Whether the source has a (fleet, month), of those that were probed.
        failures: Failures by month.
    """
    known = sorted({*ingested, *failures, *(month for (_, month), exists in published.items() if exists)})
    if not known:
        return []
    rows = []
    for month in month_range(known[0], known[-1]):
        failure = failures.get(month)
        reason, run_id = (failure.reason[:MAX_CHARACTERS], failure.run_id) if failure else (None, None)
        rows += [PipelineMonth(month, fleet, published.get((fleet, month)), reason, run_id) for fleet in fleets]
    return rows


def write_pipeline_state(
    warehouse: Warehouse,
    runs: Sequence[PipelineRun],
    months: Sequence[PipelineMonth],
    health: Mapping[str, Mapping[str, str | None]],
    now: datetime,
) -> None:
    """Replace the stored state in one transaction.

    Args:
        warehouse: Where the state is stored.
        runs: Newest runs.
        months: Months of fleets.
        health: `status`, `fact` and `hint` by part of the platform.
        now: When the state was read.

    Raises:
        WarehouseError: PostgreSQL does not answer.
    """
    parts = [(part, row["status"], row["fact"], row["hint"], now) for part, row in health.items()]
    with warehouse.connect() as connection, connection.cursor() as cursor:
        for table, rows in (
            ("pipeline_runs", [astuple(run) for run in runs]),
            ("pipeline_months", [astuple(month) for month in months]),
            ("pipeline_health", parts),
        ):
            cursor.execute(f"delete from warehouse.{table}")
            with cursor.copy(f"copy warehouse.{table} from stdin") as copy:
                for row in rows:
                    copy.write_row(row)


def source_health(instance: DagsterInstance, base: str) -> dict[str, str | None]:
    """Return whether the source answered the last probe, in the form of the parts of the platform's health."""
    since = source_unreachable_since(instance)
    if since is None:
        return {"status": "ok", "fact": f"{base} answers.", "hint": None}
    fact = f"{base} has not answered since {since:%Y-%m-%d %H:%M} UTC."
    return {"status": "degraded", "fact": fact, "hint": "New months are ingested once it answers."}


@sensor(
    name="publish_pipeline_state",
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Copies runs, states of months and the health of the platform to PostgreSQL, where the service reads "
    "them.",
)
def publish_pipeline_state(
    context: SensorEvaluationContext,
    lake: LakeResource,
    warehouse: WarehouseResource,
    source: TlcSource,
    platform: PlatformResource,
) -> SkipReason:
    """Replace the stored state of the pipeline."""
    instance, opened, now = context.instance, lake.open(context.log.info), datetime.now(UTC)
    runs = recent_runs(instance, now)
    months = pipeline_months(
        source.fleets, opened.silver_months(), read_published(instance), failed_months(instance, opened)
    )
    health = platform.parts(instance, now) | {"source": source_health(instance, source.base_url)}
    write_pipeline_state(warehouse.open(), runs, months, health, now)
    return SkipReason(f"{len(runs)} runs and {len(months)} months written.")
