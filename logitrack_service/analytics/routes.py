"""HTTP handlers of /analytics: reports, and analysts' own queries."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import structlog
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE
from logitrack_service.analytics import statements, workbench
from logitrack_service.analytics.filters import Filters, provide_filters
from logitrack_service.analytics.pages import DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS
from logitrack_service.analytics.query import AnalystQueries, QueryRequest
from logitrack_service.analytics.reports import Reports
from logitrack_service.analytics.responses import CSV, ReportT, negotiated_format, query_response, report_response
from logitrack_service.analytics.schemas import (
    CoverageReport,
    DriftReport,
    Fleet,
    HourReport,
    LiveErrorDayReport,
    LiveErrorReport,
    MonthReport,
    PaymentReport,
    QueryResponse,
    RejectionReport,
    ReportFormat,
    WeekdayHourReport,
    ZonePairReport,
    ZoneReport,
)
from logitrack_service.analytics.statements import Direction, ReportStatement
from logitrack_service.auth.audit import audit
from logitrack_service.auth.guards import require_analyst
from logitrack_service.auth.schemas import NO_NUL
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import (
    InvalidFieldsError,
    TimeLimitExceededError,
    UnavailableError,
)
from logitrack_service.http.middleware import client_address
from logitrack_service.http.openapi import parameter_link, problem_responses

MAX_QUERY_BODY_BYTES = 200_000
MAX_AUDITED_CHARACTERS = 4_000  # of a query's text in the audit table
DEFAULT_LIVE_DAYS = 90

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="Rows of a page.")]
After = Annotated[str | None, QueryParameter(max_length=200, description="`next` of the previous page.")]
Format = Annotated[
    ReportFormat | None, QueryParameter(description="Format of the response; takes precedence over `Accept`.")
]

ModelVersion = Annotated[str | None, QueryParameter(max_length=100, pattern=NO_NUL, description="Model version.")]
Since = Annotated[
    date | None, QueryParameter(description=f"First day of the pickup; {DEFAULT_LIVE_DAYS} days ago if omitted.")
]

# What the handlers of all reports declare.
_REPORT: dict[str, Any] = {
    "alternative_media_types": (CSV,),
    "responses": {
        304: ResponseSpec(None, description="The report has not changed since the given ETag."),
        **problem_responses(InvalidFieldsError, UnavailableError),
    },
}

log = structlog.get_logger("logitrack.analytics")


@get("/avg-duration-by-hour", summary="Mean duration by hour of the day", **_REPORT)
async def avg_duration_by_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[HourReport]:
    """Return the mean duration in minutes and the number of trips by hour of the pickup."""
    return await _respond(request, reports, statements.select_avg_duration_by_hour(filters), HourReport, format)


@get("/payment-analysis", summary="Trips and mean duration by payment type", **_REPORT)
async def payment_analysis(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[PaymentReport]:
    """Return trips and mean duration in minutes by payment type.

    With a filter by zone or borough the report is computed from the sample (`exact` is false).
    """
    return await _respond(request, reports, statements.select_payment_analysis(filters), PaymentReport, format)


@get("/weekday-hour", summary="Mean duration by weekday and hour", **_REPORT)
async def weekday_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[WeekdayHourReport]:
    """Return the mean duration in minutes and the number of trips by ISO weekday and hour of the pickup."""
    return await _respond(request, reports, statements.select_weekday_hour(filters), WeekdayHourReport, format)


@get(
    "/busiest-zones",
    summary="Zones by number of trips",
    response_links=parameter_link("busiestZones", "Get the next page.", after="$response.body#/next"),
    **_REPORT,
)
async def busiest_zones(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    direction: FromQuery[Direction] = "pickup",
    limit: Limit = DEFAULT_PAGE_ROWS,
    after: After = None,
    format: Format = None,
) -> Response[ZoneReport]:
    """Return zones by the number of trips that start or end there, busiest first, in pages.

    Median and 90th percentile have a relative error of at most 1%; `ratio` is the latter over the former.
    """
    statement = statements.select_busiest_zones(filters, direction, limit=limit, after=after)
    return await _respond(request, reports, statement, ZoneReport, format)


@get(
    "/zone-pairs",
    summary="Durations and their spread between zones",
    response_links=parameter_link("zonePairs", "Get the next page.", after="$response.body#/next"),
    **_REPORT,
)
async def zone_pairs(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    dropoff_zone: Annotated[
        int | None, QueryParameter(ge=FIRST_ZONE, le=LAST_ZONE, description="Drop-off zone.")
    ] = None,
    min_trips: Annotated[int, QueryParameter(ge=1, le=10_000_000, description="Least trips of a pair.")] = 1,
    limit: Limit = DEFAULT_PAGE_ROWS,
    after: After = None,
    format: Format = None,
) -> Response[ZonePairReport]:
    """Return mean, median and 90th percentile of the duration between zones, most trips first, in pages.

    Median and 90th percentile have a relative error of at most 1%; `ratio` is the latter over the former.
    """
    statement = statements.select_zone_pairs(
        filters, dropoff_zone=dropoff_zone, min_trips=min_trips, limit=limit, after=after
    )
    return await _respond(request, reports, statement, ZonePairReport, format)


@get("/months", summary="Published months", **_REPORT)
async def months(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[MonthReport]:
    """Return trips, durations and row counts of each published month and fleet.

    Filters by zone and borough are ignored.
    """
    return await _respond(request, reports, statements.select_months(filters), MonthReport, format)


@get("/rejections", summary="Rejected trips by rule", **_REPORT)
async def rejections(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[RejectionReport]:
    """Return the trips that each cleaning rule rejected, by month and fleet.

    Filters by zone and borough are ignored.
    """
    return await _respond(request, reports, statements.select_rejections(filters), RejectionReport, format)


@get("/live-error", summary="Error of live predictions", **_REPORT)
async def live_error(
    request: Request[Identity, Any, Any],
    reports: NamedDependency[Reports],
    model_version: ModelVersion = None,
    fleet: FromQuery[Fleet | None] = None,
    format: Format = None,
) -> Response[LiveErrorReport]:
    """Return error, bias and interval coverage of predictions with a reported outcome."""
    return await _respond(request, reports, statements.select_live_error(model_version, fleet), LiveErrorReport, format)


@get("/live-error/days", summary="Error of live predictions by day", **_REPORT)
async def live_error_days(
    request: Request[Identity, Any, Any],
    reports: NamedDependency[Reports],
    since: Since = None,
    model_version: ModelVersion = None,
    fleet: FromQuery[Fleet | None] = None,
    format: Format = None,
) -> Response[LiveErrorDayReport]:
    """Return error, bias and interval coverage by day of the pickup, newest first, from outcomes that count."""
    statement = statements.select_live_error_days(since or _default_since(), model_version, fleet)
    return await _respond(request, reports, statement, LiveErrorDayReport, format)


@get("/coverage", summary="Coverage of intervals by level", **_REPORT)
async def coverage(
    request: Request[Identity, Any, Any],
    reports: NamedDependency[Reports],
    since: Since = None,
    model_version: ModelVersion = None,
    fleet: FromQuery[Fleet | None] = None,
    format: Format = None,
) -> Response[CoverageReport]:
    """Return which share of real durations lay inside their intervals, for each level that was requested."""
    statement = statements.select_coverage(since or _default_since(), model_version, fleet)
    return await _respond(request, reports, statement, CoverageReport, format)


@get("/drift", summary="Drift of months", **_REPORT)
async def drift(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    model_version: ModelVersion = None,
    format: Format = None,
) -> Response[DriftReport]:
    """Return how much each month after a model's training differs from it, by input, volume and error.

    Without `model_version`, of the version that months were compared with last. Filters by zone and borough are
    ignored.
    """
    return await _respond(request, reports, statements.select_drift(filters, model_version), DriftReport, format)


@post(
    "/query",
    status_code=200,
    guards=[require_analyst],
    request_max_body_size=MAX_QUERY_BODY_BYTES,
    request_example={
        "sql": "select hour, sum(trips) as trips from hours where fleet = :fleet group by hour order by hour",
        "parameters": {"fleet": "yellow"},
    },
    alternative_media_types=(CSV,),
    responses=problem_responses(TimeLimitExceededError, UnavailableError),
    summary="Run a SELECT statement",
)
async def query(
    request: Request[Identity, Any, Any],
    data: JSONBody[QueryRequest],
    analyst_queries: NamedDependency[AnalystQueries],
    engine: NamedDependency[AsyncEngine],
    format: Format = None,
) -> Response[QueryResponse]:
    """Run one read-only query over the views of the schema `analytics`, with limits of time, rows and bytes.

    `select * from documentation` lists the views and their columns. Requires the role analyst. As CSV, the headers
    `X-Row-Count` and `X-Truncated` replace the fields. Each query is recorded in the audit table before it runs.
    """
    started = time.monotonic()
    await _audit_query(engine, request, data)
    result_format = negotiated_format(request, format)
    result = await analyst_queries.run(data, result_format)
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    log.info(
        "analyst_query",
        account_id=request.user.account_id,
        rows=result.row_count,
        milliseconds=milliseconds,
    )
    return query_response(result, milliseconds, result_format)


def _default_since() -> date:
    return datetime.now(UTC).date() - timedelta(days=DEFAULT_LIVE_DAYS)


async def _respond(
    request: Request[Any, Any, Any],
    reports: Reports,
    statement: ReportStatement[Any],
    report_type: type[ReportT],
    requested_format: ReportFormat | None,
) -> Response[ReportT]:
    return report_response(request, statement, await reports.run(statement), report_type, requested_format)


async def _audit_query(engine: AsyncEngine, request: Request[Identity, Any, Any], query: QueryRequest) -> None:
    """Record the text of a query with its digest; the values of parameters are not recorded."""
    async with engine.begin() as connection:
        await audit(
            connection,
            "analyst_query_submitted",
            account_id=request.user.account_id,
            username=request.user.username,
            address=client_address(request.scope),
            sql=query.sql.replace("\x00", "\ufffd")[:MAX_AUDITED_CHARACTERS],
            sql_sha256=hashlib.sha256(query.sql.encode()).hexdigest(),
            sql_characters=len(query.sql),
        )


routes = [
    Router(
        "/analytics",
        route_handlers=[
            avg_duration_by_hour,
            payment_analysis,
            weekday_hour,
            busiest_zones,
            zone_pairs,
            months,
            rejections,
            live_error,
            live_error_days,
            coverage,
            drift,
            query,
            *workbench.route_handlers,
        ],
        dependencies={"filters": Provide(provide_filters, sync_to_thread=False)},
        tags=["analytics"],
    )
]
