"""/analytics: the reports, and analysts' own queries."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

import msgspec
import structlog
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_service.analytics.filters import (
    MAX_PAGE_ROWS,
    PAGE,
    Filters,
    provide_filters,
    read_cursor,
    write_cursor,
)
from logitrack_service.analytics.query import AnalystQueries, QueryRequest, QueryResponse
from logitrack_service.analytics.reports import Report, Reports
from logitrack_service.auth.guards import require_analyst
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import UnavailableError
from logitrack_service.http.openapi import problem_responses

CSV = "text/csv"
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="Rows of a page.")]
After = Annotated[str | None, QueryParameter(max_length=200, description="`next` of the page before.")]
REPORT: dict[str, Any] = {
    "alternative_media_types": (CSV,),
    "responses": {
        304: ResponseSpec(None, description="Nothing has changed since the given ETag."),
        **problem_responses(UnavailableError),
    },
}
Format = FromQuery[Literal["json", "csv"] | None]

log = structlog.get_logger("logitrack.analytics")


class ReportResponse(msgspec.Struct):
    """Rows, and what they rest on: `exact` says whether all trips were counted or a sample, `trips` how many."""

    rows: list[dict[str, Any]]
    source: Literal["rollup", "sample", "live"]
    exact: bool
    trips: int
    next: str | None = None


@get("/avg-duration-by-hour", summary="Mean duration by hour of the day", **REPORT)
async def avg_duration_by_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `pickup_hour`, `avg_duration` (minutes) and `trips`."""
    table, zone_column = ("trip_stats_zone_hour", "pickup_zone") if filters.by_place else ("trip_stats_hour", None)
    where, values = filters.where(zone_column=zone_column)
    sql = f"""
        select hour as pickup_hour, sum(duration_sum) / sum(trips) as avg_duration, sum(trips)::bigint as trips
        from warehouse.{table} where {where} group by hour order by hour
    """
    return await _rollup(request, reports, sql, values, format)


@get("/payment-analysis", summary="Trips and mean duration by payment type", **REPORT)
async def payment_analysis(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `payment_type` (the TLC's code), `payment`, `total_trips` and `avg_duration` (minutes).

    For some zones only, the answer comes from the sample.
    """
    name = """
        case payment_type when 1 then 'credit card' when 2 then 'cash' when 3 then 'no charge' when 4 then 'dispute'
        when 0 then 'flex fare' when 6 then 'voided' else 'unknown' end as payment
    """
    if not filters.by_place:
        where, values = filters.where()
        sql = f"""
            select nullif(payment_type, -1) as payment_type, {name},
                   sum(trips)::bigint as total_trips,
                   sum(duration_sum) / sum(trips) as avg_duration
            from warehouse.trip_stats_payment where {where}
            group by trip_stats_payment.payment_type order by total_trips desc
        """
        return await _rollup(request, reports, sql, values, format, count="total_trips")
    where, values = filters.where(zone_column="pickup_zone")
    sql = f"""
        select payment_type, {name}, count(*) as total_trips, avg(duration_minutes)::float8 as avg_duration
        from warehouse.analytics_sample where {where} group by payment_type order by total_trips desc
    """
    return await _rollup(request, reports, sql, values, format, count="total_trips", source="sample")


@get("/weekday-hour", summary="Mean duration by weekday and hour", **REPORT)
async def weekday_hour(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `pickup_weekday` (ISO, Monday is 1), `pickup_hour`, `avg_duration` and `trips`."""
    table, zone_column = ("trip_stats_zone_hour", "pickup_zone") if filters.by_place else ("trip_stats_hour", None)
    where, values = filters.where(zone_column=zone_column)
    sql = f"""
        select weekday as pickup_weekday, hour as pickup_hour, sum(duration_sum) / sum(trips) as avg_duration,
               sum(trips)::bigint as trips
        from warehouse.{table} where {where} group by weekday, hour order by weekday, hour
    """
    return await _rollup(request, reports, sql, values, format)


@get("/busiest-zones", summary="Zones by trips", **REPORT)
async def busiest_zones(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    direction: FromQuery[Literal["pickup", "dropoff"]] = "pickup",
    limit: Limit = PAGE,
    after: After = None,
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `zone`, `name`, `borough`, `trips` and `avg_duration`, busiest first."""
    where, values = filters.where(zone_column="zone")
    sql = f"""
        select zone, z.name, z.borough, totals.trips, avg_duration from (
            select zone, sum(trips)::bigint as trips, sum(duration_sum) / sum(trips) as avg_duration
            from warehouse.trip_stats_zone where {where} and direction = :direction group by zone
        ) as totals left join warehouse.zones z using (zone)
        where cast(:trips_before as bigint) is null or (totals.trips, -zone) < (:trips_before, -:zone_before)
        order by totals.trips desc, zone limit :limit
    """
    trips_before, zone_before = read_cursor(after, tuple[int, int]) or (None, 0)
    page = {"direction": direction, "limit": limit, "trips_before": trips_before, "zone_before": zone_before}
    return await _rollup(request, reports, sql, values | page, format, cursor=("trips", "zone"), limit=limit)


@get("/zone-pairs", summary="How reliable rides between zones are", **REPORT)
async def zone_pairs(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    dropoff_zone: Annotated[int | None, QueryParameter(ge=1, le=263)] = None,
    min_trips: Annotated[int, QueryParameter(ge=1, le=10_000_000)] = 1,
    limit: Limit = PAGE,
    after: After = None,
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `pickup_zone`, `dropoff_zone`, `trips`, `avg_duration`, `median_duration`, `p90_duration` and their
    `ratio`, most travelled first. Median and P90 are right to 1%."""
    where, values = filters.where(zone_column="pickup_zone")
    if dropoff_zone is not None:
        where, values = f"{where} and dropoff_zone = :dropoff_zone", {**values, "dropoff_zone": dropoff_zone}
    sql = f"""
        with page as (
            select pickup_zone, dropoff_zone, sum(trips)::bigint as trips,
                   sum(duration_sum) / sum(trips) as avg_duration
            from warehouse.trip_stats_pair where {where}
            group by pickup_zone, dropoff_zone
            having sum(trips) >= :min_trips and (cast(:trips_before as bigint) is null
                or (sum(trips), -pickup_zone, -dropoff_zone) < (:trips_before, -:pickup_before, -:dropoff_before))
            order by trips desc, pickup_zone, dropoff_zone limit :limit
        )
        select pickup_zone, dropoff_zone, trips, avg_duration, median_duration, p90_duration,
               p90_duration / median_duration as ratio
        from page cross join lateral (
            select analytics.duration_quantile(bins, counts, 0.5) as median_duration,
                   analytics.duration_quantile(bins, counts, 0.9) as p90_duration
            from (
                select analytics.all_bins(s.bins) as bins, analytics.all_counts(s.counts) as counts
                from warehouse.trip_stats_pair s
                where s.pickup_zone = page.pickup_zone and s.dropoff_zone = page.dropoff_zone and {where}
            ) as merged
        ) as quantiles
        order by trips desc, pickup_zone, dropoff_zone
    """
    trips_before, pickup_before, dropoff_before = read_cursor(after, tuple[int, int, int]) or (None, 0, 0)
    page = {
        "limit": limit,
        "min_trips": min_trips,
        "trips_before": trips_before,
        "pickup_before": pickup_before,
        "dropoff_before": dropoff_before,
    }
    return await _rollup(
        request, reports, sql, values | page, format, cursor=("trips", "pickup_zone", "dropoff_zone"), limit=limit
    )


@get("/months", summary="Months over time", **REPORT)
async def months(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `month`, `fleet`, `trips`, `avg_duration`, `median_duration`, `p90_duration` and how many rows were
    published, kept and rejected. Place filters do not apply."""
    where, values = filters.where()
    sql = f"""
        select month, fleet, rows_silver as trips, avg_duration, median_duration, p90_duration, rows_bronze,
               rows_rejected, published_at
        from warehouse.trip_months left join (
            select month, fleet, sum(duration_sum) / sum(trips) as avg_duration,
                   analytics.duration_quantile(analytics.all_bins(bins), analytics.all_counts(counts), 0.5)
                       as median_duration,
                   analytics.duration_quantile(analytics.all_bins(bins), analytics.all_counts(counts), 0.9)
                       as p90_duration
            from warehouse.trip_stats_payment where {where} group by month, fleet
        ) as durations using (month, fleet)
        where {where} order by month, fleet
    """
    return await _rollup(request, reports, sql, values, format)


@get("/rejections", summary="Rejected trips by rule", **REPORT)
async def rejections(
    request: Request[Identity, Any, Any],
    filters: NamedDependency[Filters],
    reports: NamedDependency[Reports],
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `month`, `fleet`, `rule`, `reason`, `trips` and their `share` of what was published. Place filters do
    not apply."""
    where, values = filters.where()
    sql = f"""
        select month, fleet, rule, reason, trips, trips::float8 / nullif(rows_bronze, 0) as share
        from warehouse.rejections left join warehouse.trip_months using (month, fleet)
        where {where} order by month, fleet, trips desc, rule limit 5000
    """
    return await _rollup(request, reports, sql, values, format)


@get("/live-error", summary="Error of live predictions", **REPORT)
async def live_error(
    request: Request[Identity, Any, Any],
    reports: NamedDependency[Reports],
    model_version: Annotated[str | None, QueryParameter(max_length=100)] = None,
    fleet: FromQuery[Literal["yellow", "green"] | None] = None,
    format: Format = None,
) -> Response[ReportResponse]:
    """Rows of `model_version`, `pickup_hour`, `outcomes`, `mae`, `bias` and `coverage`, from reported outcomes."""
    sql = """
        select model_version, hour as pickup_hour, sum(outcomes)::bigint as outcomes,
               sum(mae * outcomes)::float8 / sum(outcomes)::float8 as mae,
               sum(bias * outcomes)::float8 / sum(outcomes)::float8 as bias,
               (sum(coverage * outcomes) / sum(outcomes))::float8 as coverage
        from analytics.live_error
        where (cast(:version as text) is null or model_version = :version)
          and (cast(:fleet as text) is null or fleet = :fleet)
        group by model_version, hour order by model_version, hour limit 5000
    """
    values = {"version": model_version, "fleet": fleet}
    return await _rollup(request, reports, sql, values, format, count="outcomes", source="live")


@post(
    "/query", status_code=200, guards=[require_analyst], request_max_body_size=200_000, summary="A SELECT of one's own"
)
async def query(
    request: Request[Identity, Any, Any], data: JSONBody[QueryRequest], analyst_queries: NamedDependency[AnalystQueries]
) -> QueryResponse:
    """Runs one query over the views in the schema `analytics`, read-only, within limits of time, rows and bytes.

    `select * from documentation` lists the views. Needs the role analyst.
    """
    answer = await analyst_queries.run(data)
    log.info(
        "analyst_query", account_id=request.user.account_id, rows=answer.row_count, milliseconds=answer.milliseconds
    )
    return answer


async def _rollup(
    request: Request[Any, Any, Any],
    reports: Reports,
    sql: str,
    values: dict[str, Any],
    format: str | None,
    *,
    count: str = "trips",
    source: Literal["rollup", "sample", "live"] = "rollup",
    cursor: tuple[str, ...] = (),
    limit: int = 0,
) -> Response[ReportResponse]:
    """Runs a report's one statement, and answers as JSON or CSV, or with 304 when nothing has changed."""

    async def ask(connection: AsyncConnection) -> Report:
        rows = [dict(row) for row in (await connection.execute(text(sql), values)).mappings()]
        for row in rows:
            row.update({name: round(value, 4) for name, value in row.items() if isinstance(value, float)})
        more = write_cursor(*(rows[-1][name] for name in cursor)) if cursor and len(rows) == limit else None
        return Report(rows, source, source != "sample", sum(row[count] or 0 for row in rows), more)

    as_csv = format == "csv" or (format is None and CSV in request.headers.get("accept", ""))
    question = f"{sql}\n{sorted(values.items())}"
    report, etag = await reports.answer(question, ask, live=source == "live")
    etag = f'{etag[:-1]}-{"csv" if as_csv else "json"}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "accept, authorization"}
    given = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in given or "*" in given:
        return Response(None, status_code=304, headers=headers)  # type: ignore[arg-type]
    if as_csv:
        headers["x-exact"], headers["x-trips"] = str(report.exact).lower(), str(report.trips)
        if report.next:
            headers["x-next"] = report.next
        return Response(_as_csv(report.rows), media_type=f"{CSV}; charset=utf-8", headers=headers)  # type: ignore[arg-type]
    return Response(ReportResponse(report.rows, source, report.exact, report.trips, report.next), headers=headers)


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    if not rows:
        return b""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


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
