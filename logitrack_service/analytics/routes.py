"""HTTP handlers of /analytics: reports, and analysts' own queries."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, JSONBody, QueryParameter

from logitrack_service.analytics import rows, statements
from logitrack_service.analytics.filters import Filters, provide_filters
from logitrack_service.analytics.pages import DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS
from logitrack_service.analytics.query import AnalystQueries, QueryRequest, QueryResponse
from logitrack_service.analytics.reports import Reports
from logitrack_service.analytics.responses import ReportFormat, ReportOperation, ReportResponse, report_response
from logitrack_service.analytics.statements import Direction, ReportStatement, Row
from logitrack_service.auth.guards import require_analyst
from logitrack_service.auth.tokens import Identity

MAX_QUERY_BODY_BYTES = 200_000

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="Rows of a page.")]
After = Annotated[str | None, QueryParameter(max_length=200, description="`next` of the previous page.")]
Format = Annotated[
    ReportFormat | None, QueryParameter(description="Format of the response; takes precedence over `Accept`.")
]

log = structlog.get_logger("logitrack.analytics")


@get("/avg-duration-by-hour", summary="Mean duration by hour of the day", operation_class=ReportOperation)
async def avg_duration_by_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse[rows.HourRow]]:
    """Return the mean duration in minutes and the number of trips by hour of the pickup."""
    return await _respond(request, reports, statements.avg_duration_by_hour(filters), format)


@get("/payment-analysis", summary="Trips and mean duration by payment type", operation_class=ReportOperation)
async def payment_analysis(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse[rows.PaymentRow]]:
    """Return trips and mean duration in minutes by payment type.

    With a filter by zone or borough the report is computed from the sample (`exact` is false).
    """
    return await _respond(request, reports, statements.payment_analysis(filters), format)


@get("/weekday-hour", summary="Mean duration by weekday and hour", operation_class=ReportOperation)
async def weekday_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse[rows.WeekdayHourRow]]:
    """Return the mean duration in minutes and the number of trips by ISO weekday and hour of the pickup."""
    return await _respond(request, reports, statements.weekday_hour(filters), format)


@get("/busiest-zones", summary="Zones by number of trips", operation_class=ReportOperation)
async def busiest_zones(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    direction: FromQuery[Direction] = "pickup",
    limit: Limit = DEFAULT_PAGE_ROWS,
    after: After = None,
    format: Format = None,
) -> Response[ReportResponse[rows.ZoneRow]]:
    """Return zones by the number of trips that start or end there, busiest first, in pages."""
    statement = statements.busiest_zones(filters, direction, limit=limit, after=after)
    return await _respond(request, reports, statement, format)


@get("/zone-pairs", summary="Durations and their spread between zones", operation_class=ReportOperation)
async def zone_pairs(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    dropoff_zone: Annotated[int | None, QueryParameter(ge=1, le=263, description="Drop-off zone.")] = None,
    min_trips: Annotated[int, QueryParameter(ge=1, le=10_000_000, description="Least trips of a pair.")] = 1,
    limit: Limit = DEFAULT_PAGE_ROWS,
    after: After = None,
    format: Format = None,
) -> Response[ReportResponse[rows.ZonePairRow]]:
    """Return mean, median and 90th percentile of the duration between zones, most trips first, in pages.

    Median and 90th percentile have a relative error of at most 1%; `ratio` is the latter over the former.
    """
    statement = statements.zone_pairs(filters, dropoff_zone=dropoff_zone, min_trips=min_trips, limit=limit, after=after)
    return await _respond(request, reports, statement, format)


@get("/months", summary="Published months", operation_class=ReportOperation)
async def months(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse[rows.MonthRow]]:
    """Return trips, durations and row counts of each published month and fleet.

    Filters by zone and borough are ignored.
    """
    return await _respond(request, reports, statements.months(filters), format)


@get("/rejections", summary="Rejected trips by rule", operation_class=ReportOperation)
async def rejections(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse[rows.RejectionRow]]:
    """Return the trips that each cleaning rule rejected, by month and fleet.

    Filters by zone and borough are ignored.
    """
    return await _respond(request, reports, statements.rejections(filters), format)


@get("/live-error", summary="Error of live predictions", operation_class=ReportOperation)
async def live_error(
    request: Request[Identity, Any, Any],
    reports: NamedDependency[Reports],
    model_version: Annotated[str | None, QueryParameter(max_length=100, description="Version of the model.")] = None,
    fleet: FromQuery[rows.Fleet | None] = None,
    format: Format = None,
) -> Response[ReportResponse[rows.LiveErrorRow]]:
    """Return error, bias and interval coverage of predictions with a reported outcome."""
    return await _respond(request, reports, statements.live_error(model_version, fleet), format)


@post(
    "/query",
    status_code=200,
    guards=[require_analyst],
    request_max_body_size=MAX_QUERY_BODY_BYTES,
    summary="Run a SELECT statement",
)
async def query(
    request: Request[Identity, Any, Any],
    data: JSONBody[QueryRequest],
    analyst_queries: NamedDependency[AnalystQueries],
) -> QueryResponse:
    """Run one read-only query over the views of the schema `analytics`, with limits of time, rows and bytes.

    `select * from documentation` lists the views and their columns. Requires the role analyst.
    """
    response = await analyst_queries.run(data)
    log.info(
        "analyst_query",
        account_id=request.user.account_id,
        rows=response.row_count,
        milliseconds=response.milliseconds,
    )
    return response


async def _respond(
    request: Request[Any, Any, Any],
    reports: Reports,
    statement: ReportStatement[Row],
    requested_format: ReportFormat | None,
) -> Response[ReportResponse[Row]]:
    return report_response(request, statement, await reports.run(statement), requested_format)


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
            query,
        ],
        dependencies={"filters": Provide(provide_filters, sync_to_thread=False)},
        tags=["analytics"],
    )
]
