"""HTTP handlers of /pipeline: months, runs and health of the platform.

A sensor of Dagster copies them to PostgreSQL (`logitrack_assets.automation.pipeline_state`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import pipeline_health, pipeline_runs
from logitrack_assets.settings import Settings
from logitrack_service.auth.guards import require_analyst
from logitrack_service.errors import UnavailableError
from logitrack_service.http.openapi import problem_responses

MAX_STATE_AGE = timedelta(minutes=3)
"""Age after which the state counts as lost: the sensor that copies it runs every half minute."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
PartStatus = Literal["ok", "degraded", "failed"]
MonthState = Literal["ingested", "failed", "published", "missing"]

_MONTHS = """
    select coalesce(p.fleet, i.fleet) as fleet, coalesce(p.month, i.month) as month,
           case when p.failure is not null then 'failed' when i.month is not null then 'ingested'
                when p.published then 'published' else 'missing' end as state,
           p.failure as reason, p.run_id, i.rows_silver as trips, i.rows_rejected as rejected_rows,
           i.published_at as ingested_at
    from warehouse.pipeline_months p full join warehouse.trip_months i using (month, fleet)
    order by fleet, month
"""


class PipelineMonthEntry(msgspec.Struct):
    """A month of a fleet.

    `published`: the source has it and it is not ingested yet; `missing`: the source does not have it. `reason` says why
    a month failed: it could not be ingested, or a blocking check found a problem. `trips` and `rejected_rows` are those
    of the version that is stored.
    """

    fleet: str
    month: Annotated[str, msgspec.Meta(examples=["2019-03"])]
    state: MonthState
    reason: str | None
    run_id: str | None
    trips: int | None
    rejected_rows: int | None
    ingested_at: Instant | None


class PipelineRunEntry(msgspec.Struct):
    """A run of Dagster with its page there. `problem` says why an orphaned or stalled run does not go on."""

    run_id: str
    job: str
    status: Annotated[str, msgspec.Meta(description="Dagster's status.", examples=["SUCCESS"])]
    first_month: str | None
    last_month: str | None
    reason: str | None
    problem: str | None
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    url: str


class PipelinePart(msgspec.Struct):
    """State of one part: Dagster's daemon, runs, slots of Spark, the newest month, the source."""

    part: str
    status: PartStatus
    fact: str
    hint: str | None


class PipelineHealth(msgspec.Struct):
    """State of the platform. `checked_at` is null before the first report of the daemon."""

    status: PartStatus
    checked_at: Instant | None
    parts: list[PipelinePart]
    dagster_url: str


@get("/months", guards=[require_analyst], responses=problem_responses(UnavailableError), summary="States of months")
async def list_pipeline_months(engine: NamedDependency[AsyncEngine]) -> list[PipelineMonthEntry]:
    """Return each month of each fleet as the source and the lake have it. Requires analyst."""
    async with engine.connect() as connection:
        return [PipelineMonthEntry(**row) for row in (await connection.execute(text(_MONTHS))).mappings()]


@get("/runs", guards=[require_analyst], responses=problem_responses(UnavailableError), summary="Newest runs")
async def list_pipeline_runs(
    engine: NamedDependency[AsyncEngine], settings: NamedDependency[Settings]
) -> list[PipelineRunEntry]:
    """Return the newest 50 runs, newest first, with links into Dagster's UI. Requires analyst."""
    statement = select(pipeline_runs).order_by(pipeline_runs.c.created_at.desc())
    async with engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
    return [PipelineRunEntry(**row, url=f"{settings.dagster_address}/runs/{row['run_id']}") for row in rows]


@get(
    "/health", guards=[require_analyst], responses=problem_responses(UnavailableError), summary="Health of the platform"
)
async def get_pipeline_health(
    engine: NamedDependency[AsyncEngine], settings: NamedDependency[Settings]
) -> PipelineHealth:
    """Return the state of daemon, runs, Spark, newest month and source. Requires analyst.

    Without a report in the last three minutes the platform counts as failed: its daemon does not run.
    """
    async with engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(select(pipeline_health))).mappings()]
    checked_at: datetime | None = max((row.pop("checked_at") for row in rows), default=None)
    parts = sorted((PipelinePart(**row) for row in rows), key=lambda part: part.part)
    if checked_at is None or datetime.now(UTC) - checked_at > MAX_STATE_AGE:
        parts = [_silent_daemon(checked_at), *(part for part in parts if part.part != "daemon")]
    states = {part.status for part in parts}
    worst: PartStatus = "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
    return PipelineHealth(worst, checked_at, parts, settings.dagster_address)


def _silent_daemon(checked_at: datetime | None) -> PipelinePart:
    since = "yet" if checked_at is None else f"since {checked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    hint = "Start `logitrack up`, or the daemon service of compose.yaml."
    return PipelinePart("daemon", "failed", f"The daemon has not reported {since}; what follows may be old.", hint)


routes = [
    Router(
        "/pipeline",
        route_handlers=[list_pipeline_months, list_pipeline_runs, get_pipeline_health],
        tags=["pipeline"],
    )
]
