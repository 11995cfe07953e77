"""One function per report: its SQL, row type and paging.

Reports read the rollups, which count all trips, wherever a rollup has the requested grouping; else the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, Literal, TypeVar

import msgspec

from logitrack_service.analytics.filters import Filters
from logitrack_service.analytics.pages import decode_cursor
from logitrack_service.analytics.schemas import (
    CoverageRow,
    DriftRow,
    Fleet,
    HourRow,
    LiveErrorDayRow,
    LiveErrorRow,
    MonthRow,
    PaymentRow,
    RejectionRow,
    Source,
    WeekdayHourRow,
    ZonePairRow,
    ZoneRow,
)

Row = TypeVar("Row", bound=msgspec.Struct)
Direction = Literal["pickup", "dropoff"]

MAX_ROWS = 5_000  # of reports without pages


@dataclass(frozen=True)
class ReportStatement(Generic[Row]):
    """A report's statement with its values.

    Attributes:
        sql: Statement whose columns are named as the fields of `row_type`.
        values: Values of the statement's named parameters.
        row_type: Type of a row.
        count_column: Field whose sum is the number of trips (or outcomes) in the report; empty if none is.
        source: Where the rows come from.
        approximate: Fields that are computed from sketches, with a relative error of at most 1%.
        sort_key: Fields that the cursor of the next page holds; empty for a report without pages.
        page_rows: Rows of a full page; 0 for a report without pages.
    """

    sql: str
    values: dict[str, Any]
    row_type: type[Row]
    count_column: str = "trips"
    source: Source = "rollup"
    approximate: tuple[str, ...] = ()
    sort_key: tuple[str, ...] = ()
    page_rows: int = 0

    @property
    def exact(self) -> bool:
        """Return whether every field of every row is computed from all trips without approximation."""
        return self.source != "sample" and not self.approximate

    @property
    def cache_key(self) -> str:
        """Return a text that identifies the statement and its values."""
        return f"{self.sql}\n{sorted(self.values.items())}"


def select_avg_duration_by_hour(filters: Filters) -> ReportStatement[HourRow]:
    """Return the mean duration by hour of the day."""
    table, where, values = _hour_rollup(filters)
    sql = f"""
        select hour as pickup_hour, sum(duration_sum) / sum(trips) as avg_duration, sum(trips)::bigint as trips
        from warehouse.{table} where {where} group by hour order by hour
    """
    return ReportStatement(sql, values, HourRow)


def select_weekday_hour(filters: Filters) -> ReportStatement[WeekdayHourRow]:
    """Return the mean duration by weekday and hour."""
    table, where, values = _hour_rollup(filters)
    sql = f"""
        select weekday as pickup_weekday, hour as pickup_hour, sum(duration_sum) / sum(trips) as avg_duration,
               sum(trips)::bigint as trips
        from warehouse.{table} where {where} group by weekday, hour order by weekday, hour
    """
    return ReportStatement(sql, values, WeekdayHourRow)


# The TLC's data dictionary. The rollup stores "not recorded" as -1, the sample as null.
_PAYMENT_NAME = """
    case payment_type when 1 then 'credit card' when 2 then 'cash' when 3 then 'no charge' when 4 then 'dispute'
    when 0 then 'flex fare' when 6 then 'voided' else 'unknown' end as payment
"""


def select_payment_analysis(filters: Filters) -> ReportStatement[PaymentRow]:
    """Return trips and mean duration by payment type; with a place filter, from the sample."""
    if filters.by_place:
        where, values = filters.where(zone_column="pickup_zone")
        sql = f"""
            select payment_type, {_PAYMENT_NAME}, count(*) as total_trips,
                   avg(duration_minutes)::float8 as avg_duration
            from warehouse.analytics_sample where {where} group by payment_type order by total_trips desc
        """
        return ReportStatement(sql, values, PaymentRow, count_column="total_trips", source="sample")
    where, values = filters.where()
    sql = f"""
        select nullif(payment_type, -1) as payment_type, {_PAYMENT_NAME}, sum(trips)::bigint as total_trips,
               sum(duration_sum) / sum(trips) as avg_duration
        from warehouse.trip_stats_payment where {where}
        group by trip_stats_payment.payment_type order by total_trips desc
    """
    return ReportStatement(sql, values, PaymentRow, count_column="total_trips")


def select_busiest_zones(
    filters: Filters, direction: Direction, *, limit: int, after: str | None
) -> ReportStatement[ZoneRow]:
    """Return a page of zones by number of trips, with quantiles of their durations.

    Raises:
        InvalidFieldsError: `after` is not a cursor of this report.
    """
    where, values = filters.where(zone_column="zone")
    sql = f"""
        select zone, z.name, z.borough, totals.trips, avg_duration, median_duration, p90_duration,
               p90_duration / median_duration as ratio
        from (
            select zone, sum(trips)::bigint as trips, sum(duration_sum) / sum(trips) as avg_duration,
                   analytics.duration_quantile(analytics.all_bins(bins), analytics.all_counts(counts), 0.5)
                       as median_duration,
                   analytics.duration_quantile(analytics.all_bins(bins), analytics.all_counts(counts), 0.9)
                       as p90_duration
            from warehouse.trip_stats_zone where {where} and direction = :direction group by zone
        ) as totals left join warehouse.zones z using (zone)
        where cast(:trips_before as bigint) is null or (totals.trips, -zone) < (:trips_before, -:zone_before)
        order by totals.trips desc, zone limit :limit
    """
    trips_before, zone_before = decode_cursor(after, tuple[int, int]) or (None, 0)
    values |= {"direction": direction, "limit": limit, "trips_before": trips_before, "zone_before": zone_before}
    approximate = ("median_duration", "p90_duration", "ratio")
    return ReportStatement(sql, values, ZoneRow, approximate=approximate, sort_key=("trips", "zone"), page_rows=limit)


def select_zone_pairs(
    filters: Filters, *, dropoff_zone: int | None, min_trips: int, limit: int, after: str | None
) -> ReportStatement[ZonePairRow]:
    """Return a page of zone pairs by number of trips, with quantiles of their durations.

    Raises:
        InvalidFieldsError: `after` is not a cursor of this report.
    """
    where, values = filters.where(zone_column="pickup_zone")
    if dropoff_zone is not None:
        where, values = f"{where} and dropoff_zone = :dropoff_zone", values | {"dropoff_zone": dropoff_zone}
    # Sketches are merged for the pairs of the page only: they are most of the table.
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
    trips_before, pickup_before, dropoff_before = decode_cursor(after, tuple[int, int, int]) or (None, 0, 0)
    values |= {
        "limit": limit,
        "min_trips": min_trips,
        "trips_before": trips_before,
        "pickup_before": pickup_before,
        "dropoff_before": dropoff_before,
    }
    sort_key = ("trips", "pickup_zone", "dropoff_zone")
    approximate = ("median_duration", "p90_duration", "ratio")
    return ReportStatement(sql, values, ZonePairRow, approximate=approximate, sort_key=sort_key, page_rows=limit)


def select_months(filters: Filters) -> ReportStatement[MonthRow]:
    """Return each published month of each fleet."""
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
    return ReportStatement(sql, values, MonthRow, approximate=("median_duration", "p90_duration"))


def select_rejections(filters: Filters) -> ReportStatement[RejectionRow]:
    """Return rejected trips by month, fleet and rule."""
    where, values = filters.where()
    sql = f"""
        select month, fleet, rule, reason, trips, trips::float8 / nullif(rows_bronze, 0) as share
        from warehouse.rejections left join warehouse.trip_months using (month, fleet)
        where {where} order by month, fleet, trips desc, rule limit {MAX_ROWS}
    """
    return ReportStatement(sql, values, RejectionRow)


def select_live_error(model_version: str | None, fleet: Fleet | None) -> ReportStatement[LiveErrorRow]:
    """Return the error of live predictions by model version and hour."""
    sql = f"""
        select model_version, hour as pickup_hour, sum(outcomes)::bigint as outcomes,
               sum(mae_minutes * outcomes)::float8 / sum(outcomes)::float8 as mae,
               sum(bias_minutes * outcomes)::float8 / sum(outcomes)::float8 as bias,
               (sum(coverage * outcomes) / sum(outcomes))::float8 as coverage
        from analytics.live_error
        where (cast(:version as text) is null or model_version = :version)
          and (cast(:fleet as text) is null or fleet = :fleet)
        group by model_version, hour order by model_version, hour limit {MAX_ROWS}
    """
    values = {"version": model_version, "fleet": fleet}
    return ReportStatement(sql, values, LiveErrorRow, count_column="outcomes", source="live")


def select_live_error_days(
    since: date, model_version: str | None, fleet: Fleet | None
) -> ReportStatement[LiveErrorDayRow]:
    """Return the error of live predictions by day of the pickup, fleet and model version, newest day first."""
    sql = f"""
        select pickup_at::date as day, fleet, model_version, count(*) as outcomes,
               avg(abs(error_minutes))::float8 as mae_minutes,
               avg(abs(base_minutes - real_minutes))::float8 as base_mae_minutes,
               percentile_cont(0.5) within group (order by abs(error_minutes))::float8 as median_error_minutes,
               avg(error_minutes)::float8 as bias_minutes,
               avg(in_interval::int)::float8 as coverage, avg(level)::float8 as level
        from analytics.outcomes where {_LIVE_CONDITION}
        group by 1, 2, 3 order by 1 desc, 2, 3 limit {MAX_ROWS}
    """
    return _live_statement(sql, LiveErrorDayRow, since, model_version, fleet)


def select_coverage(since: date, model_version: str | None, fleet: Fleet | None) -> ReportStatement[CoverageRow]:
    """Return the coverage of live intervals by their level, model version and fleet."""
    sql = f"""
        select model_version, fleet, round(level::numeric, 3)::float8 as level, count(*) as outcomes,
               avg(in_interval::int)::float8 as coverage, avg(high_minutes - low_minutes)::float8 as width_minutes
        from analytics.outcomes where {_LIVE_CONDITION}
        group by 1, 2, 3 order by 1 desc, 2, 3 limit {MAX_ROWS}
    """
    return _live_statement(sql, CoverageRow, since, model_version, fleet)


_LIVE_CONDITION = """
    counted and pickup_at >= :since and (cast(:version as text) is null or model_version = :version)
    and (cast(:fleet as text) is null or fleet = :fleet)
"""


def _live_statement(
    sql: str, row_type: type[Row], since: date, model_version: str | None, fleet: Fleet | None
) -> ReportStatement[Row]:
    values = {"since": since, "version": model_version, "fleet": fleet}
    return ReportStatement(sql, values, row_type, count_column="outcomes", source="live")


def select_drift(filters: Filters, model_version: str | None) -> ReportStatement[DriftRow]:
    """Return the drift of months, newest first; of the version that was compared last if none is given."""
    where, values = filters.where()
    sql = f"""
        select month, fleet, model_version, measure, value, threshold, drifted from warehouse.eta_drift
        where {where} and model_version = coalesce(cast(:version as text), (
            select model_version from warehouse.eta_drift order by computed_at desc, model_version desc limit 1
        ))
        order by month desc, fleet, measure limit {MAX_ROWS}
    """
    return ReportStatement(sql, values | {"version": model_version}, DriftRow, count_column="", source="live")


def _hour_rollup(filters: Filters) -> tuple[str, str, dict[str, Any]]:
    """Return the smallest rollup by hour that has the filters' columns, with condition and values."""
    if filters.by_place:
        return "trip_stats_zone_hour", *filters.where(zone_column="pickup_zone")
    return "trip_stats_hour", *filters.where()
