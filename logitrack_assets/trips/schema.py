"""Columns of the trip tables: the canonical columns of the published files, and the silver and rejected tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of the trip tables.

    Attributes:
        name: Canonical name.
        type: Spark SQL type.
        meaning: Description for people, with the unit.
        sources: Names in the published files, lower case; empty for derived columns.
        required: Whether a file without the column is refused.
    """

    name: str
    type: str
    meaning: str
    sources: tuple[str, ...] = ()
    required: bool = False


PUBLISHED_COLUMNS: tuple[Column, ...] = (
    Column("vendor_id", "int", "Recording vendor, numbered by the TLC", ("vendorid", "vendor_id", "vendor_name")),
    Column(
        "pickup_at",
        "timestamp_ntz",
        "Meter on, New York wall clock",
        ("tpep_pickup_datetime", "lpep_pickup_datetime", "pickup_datetime", "trip_pickup_datetime"),
        required=True,
    ),
    Column(
        "dropoff_at",
        "timestamp_ntz",
        "Meter off, New York wall clock",
        ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime", "trip_dropoff_datetime"),
        required=True,
    ),
    Column("pickup_zone", "smallint", "Taxi zone of the pickup", ("pulocationid", "pickup_location_id"), required=True),
    Column(
        "dropoff_zone", "smallint", "Taxi zone of the drop-off", ("dolocationid", "dropoff_location_id"), required=True
    ),
    Column("distance_miles", "double", "Metered distance; null when not positive", ("trip_distance",), required=True),
    Column("passenger_count", "int", "As the driver entered it; null on app-booked trips", ("passenger_count",)),
    Column("payment_type", "int", "1 card, 2 cash, 3 no charge, 4 dispute, 0 flex fare", ("payment_type",)),
    Column(
        "rate_code", "int", "1 standard, 2 JFK, 3 Newark, 5 negotiated …", ("ratecodeid", "rate_code_id", "rate_code")
    ),
    Column("trip_type", "int", "Green only: 1 street hail, 2 dispatch", ("trip_type",)),
    Column(
        "store_and_forward",
        "string",
        "Y: sent later because the vehicle had no connection",
        ("store_and_fwd_flag", "store_and_forward"),
    ),
    Column("request_source", "string", "Booking channel of the trip, from 2026-06", ("request_source",)),
    Column("fare_amount", "double", "Metered fare, dollars", ("fare_amount", "fare_amt")),
    Column("extra", "double", "Rush-hour and overnight surcharges, dollars", ("extra", "surcharge")),
    Column("mta_tax", "double", "Tax of the Metropolitan Transportation Authority, dollars", ("mta_tax",)),
    Column("tip_amount", "double", "Card tip, dollars", ("tip_amount", "tip_amt")),
    Column("tolls_amount", "double", "Tolls, dollars", ("tolls_amount", "tolls_amt")),
    Column("ehail_fee", "double", "Green only, dollars", ("ehail_fee",)),
    Column("improvement_surcharge", "double", "From 2015, dollars", ("improvement_surcharge",)),
    Column("congestion_surcharge", "double", "From 2019, dollars", ("congestion_surcharge",)),
    Column("airport_fee", "double", "Yellow, from 2021, dollars", ("airport_fee",)),
    Column("cbd_congestion_fee", "double", "From 2025-01, dollars", ("cbd_congestion_fee",)),
    Column("total_amount", "double", "Total charged to the passenger, dollars", ("total_amount", "total_amt")),
)
"""Canonical columns of the TLC's yellow and green trip files, all generations (TLC trip record data dictionaries)."""

TRIP_KEY = ("fleet", "vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone")
"""Columns that identify a trip: rows that agree in all of them record the same ride."""

_FLEET = Column("fleet", "string", "yellow or green")
_RULE = Column("rule", "string", "First cleaning rule that the row violates")
_DERIVED = (
    Column("duration_minutes", "double", "Drop-off minus pickup, minutes"),
    Column("pickup_hour", "smallint", "Hour of the pickup, 0 to 23"),
    Column("pickup_weekday", "smallint", "ISO weekday of the pickup, Monday is 1"),
    Column("is_holiday", "boolean", "Whether the pickup's day is a holiday in New York"),
    Column("pickup_borough", "string", "Borough of the pickup zone"),
    Column("dropoff_borough", "string", "Borough of the drop-off zone"),
)
_LEADING = ("vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "distance_miles")

SILVER: dict[str, Column] = {
    column.name: column
    for column in (
        _FLEET,
        *(column for column in PUBLISHED_COLUMNS if column.name in _LEADING),
        *_DERIVED,
        *(column for column in PUBLISHED_COLUMNS if column.name not in _LEADING),
    )
}
"""Columns of a silver month by name, in order."""

REJECTED: dict[str, Column] = {**SILVER, _RULE.name: _RULE}
"""Columns of a rejected month by name, in order."""
