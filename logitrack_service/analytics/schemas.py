"""Rows and responses of the reports.

Durations are minutes; hours and weekdays are New York wall-clock time; floats are rounded to four decimals.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

Hour = Annotated[int, msgspec.Meta(ge=0, le=23, description="Hour of the pickup.")]
Weekday = Annotated[int, msgspec.Meta(ge=1, le=7, description="ISO weekday of the pickup; Monday is 1.")]
ZoneId = Annotated[int, msgspec.Meta(ge=FIRST_ZONE, le=LAST_ZONE, description="TLC taxi zone.")]
Month = Annotated[str, msgspec.Meta(description="YYYY-MM.", examples=["2019-03"])]
Trips = Annotated[int, msgspec.Meta(ge=0, description="Number of trips.")]
Minutes = Annotated[float, msgspec.Meta(description="Minutes.")]
Fleet = Literal["yellow", "green"]
Source = Literal["rollup", "sample", "live"]
ReportFormat = Literal["json", "csv"]


class HourRow(msgspec.Struct, frozen=True):
    """Trips of one hour of the day."""

    pickup_hour: Hour
    avg_duration: Minutes
    trips: Trips


class PaymentRow(msgspec.Struct, frozen=True):
    """Trips of one payment type; null for trips without a recorded one."""

    payment_type: Annotated[int, msgspec.Meta(description="Code of the TLC's data dictionary.")] | None
    payment: str
    total_trips: Trips
    avg_duration: Minutes


class WeekdayHourRow(msgspec.Struct, frozen=True):
    """Trips of one hour of one weekday."""

    pickup_weekday: Weekday
    pickup_hour: Hour
    avg_duration: Minutes
    trips: Trips


class ZoneRow(msgspec.Struct, frozen=True):
    """Trips that start (or end) in one zone.

    Median and 90th percentile have a relative error of at most 1%; `ratio` is the latter over the former.
    """

    zone: ZoneId
    name: str | None
    borough: str | None
    trips: Trips
    avg_duration: Minutes
    median_duration: Minutes
    p90_duration: Minutes
    ratio: float


class ZonePairRow(msgspec.Struct, frozen=True):
    """Trips from one zone to another.

    Median and 90th percentile have a relative error of at most 1%; `ratio` is the latter over the former.
    """

    pickup_zone: ZoneId
    dropoff_zone: ZoneId
    trips: Trips
    avg_duration: Minutes
    median_duration: Minutes
    p90_duration: Minutes
    ratio: float


class MonthRow(msgspec.Struct, frozen=True):
    """One month of one fleet: valid trips, and the rows published by the TLC (bronze) and rejected.

    Durations are null for a month without valid trips.
    """

    month: Month
    fleet: Fleet
    trips: Trips
    avg_duration: Minutes | None
    median_duration: Minutes | None
    p90_duration: Minutes | None
    rows_bronze: int
    rows_rejected: int
    published_at: Annotated[datetime, msgspec.Meta(tz=True)]


class RejectionRow(msgspec.Struct, frozen=True):
    """Trips of one month and fleet that one cleaning rule rejected; `share` is relative to the published rows."""

    month: Month
    fleet: Fleet
    rule: str
    reason: str
    trips: Trips
    share: float | None


class LiveErrorRow(msgspec.Struct, frozen=True):
    """Error of one model version's predictions in one hour of the day, from reported outcomes.

    `mae` and `bias` are minutes; a positive bias means that predictions are too long. `coverage` is the share of
    outcomes inside the predicted interval.
    """

    model_version: str
    pickup_hour: Hour
    outcomes: int
    mae: Minutes
    bias: Minutes
    coverage: float


class LiveErrorDayRow(msgspec.Struct, frozen=True):
    """Error of one model version's predictions of rides of one day and fleet, from reported outcomes that count.

    `base_mae_minutes` is the mean absolute error without live correction, null of predictions from before it.
    `median_error_minutes` is the median absolute error. `coverage` is the share of outcomes inside the predicted
    interval and should equal `level`, the mean level of those intervals.
    """

    day: date
    fleet: Fleet
    model_version: str
    outcomes: int
    mae_minutes: Minutes
    base_mae_minutes: Minutes | None
    median_error_minutes: Minutes
    bias_minutes: Minutes
    coverage: float
    level: float


class CoverageRow(msgspec.Struct, frozen=True):
    """Share of outcomes inside intervals of one level, which the share should equal; by model version and fleet."""

    model_version: str
    fleet: Fleet
    level: float
    outcomes: int
    coverage: float
    width_minutes: Minutes


class DriftRow(msgspec.Struct, frozen=True):
    """One measure of a month and fleet beside the months that a model version was trained on.

    `measure` is `psi` with the name of an input (population stability index), `volume ratio` (trips relative to the
    median training month) or `error ratio` (error relative to that of the evaluation).
    """

    month: Month
    fleet: Fleet
    model_version: str
    measure: Annotated[str, msgspec.Meta(examples=["psi hour"])]
    value: float | None
    threshold: float | None
    drifted: bool


class ReportResponse(msgspec.Struct):
    """Rows and their origin.

    `exact` is false for a sample and for reports with approximate fields, which `approximate` names; their relative
    error is at most 1%. `trips` counts the trips (or outcomes) in these rows.
    """

    rows: list[Any]
    source: Source
    exact: bool
    trips: int
    next: Annotated[str | None, msgspec.Meta(description="Cursor of the next page, for `after`.")] = None
    approximate: Annotated[tuple[str, ...], msgspec.Meta(description="Fields that are not exact.")] = ()


class HourReport(ReportResponse):
    """Report by hour of the day."""

    rows: list[HourRow]


class WeekdayHourReport(ReportResponse):
    """Report by weekday and hour."""

    rows: list[WeekdayHourRow]


class PaymentReport(ReportResponse):
    """Report by payment type."""

    rows: list[PaymentRow]


class ZoneReport(ReportResponse):
    """Report by zone."""

    rows: list[ZoneRow]


class ZonePairReport(ReportResponse):
    """Report by pickup and drop-off zone."""

    rows: list[ZonePairRow]


class MonthReport(ReportResponse):
    """Report by month and fleet."""

    rows: list[MonthRow]


class RejectionReport(ReportResponse):
    """Report by month, fleet and cleaning rule."""

    rows: list[RejectionRow]


class LiveErrorReport(ReportResponse):
    """Report by model version and hour of the day."""

    rows: list[LiveErrorRow]


class LiveErrorDayReport(ReportResponse):
    """Report by day, fleet and model version."""

    rows: list[LiveErrorDayRow]


class CoverageReport(ReportResponse):
    """Report by model version, fleet and level."""

    rows: list[CoverageRow]


class DriftReport(ReportResponse):
    """Report by month, fleet, model version and measure."""

    rows: list[DriftRow]


class QueryResponse(msgspec.Struct):
    """Columns and rows of an analyst's query; `truncated` means that the query has more rows.

    Columns keep their order, and names may repeat. Numbers are JSON numbers, except integers beyond 2^53 - 1, which are
    strings; NaN and infinities are null; other types are strings in PostgreSQL's format.
    """

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: float
