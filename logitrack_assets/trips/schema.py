"""One schema out of many: what the columns of a trip file are called here, whatever they were called when.

The TLC has renamed columns, changed their case and let their types wander between int32, int64, double and
"null". A file's footer decides how it is read: `read_plan` maps its columns to the canonical ones, each with
an explicit cast, and says which columns are missing and which are new to us.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from logitrack_assets.errors import LogitrackError

FLEETS = ("yellow", "green")


class BrokenFileError(LogitrackError):
    """A file that cannot be a month of trips; the message names the file and the reason."""


@dataclass(frozen=True)
class Column:
    """A canonical column: its name, its Spark type, the names it has had (lower case), and what it means."""

    name: str
    type: str
    sources: tuple[str, ...]
    meaning: str
    needed: bool = False


COLUMNS: tuple[Column, ...] = (
    Column(
        "vendor_id", "int", ("vendorid", "vendor_id", "vendor_name"), "Who recorded the trip, as the TLC numbers them"
    ),
    Column(
        "pickup_at",
        "timestamp_ntz",
        ("tpep_pickup_datetime", "lpep_pickup_datetime", "pickup_datetime", "trip_pickup_datetime"),
        "Meter on, New York wall clock",
        needed=True,
    ),
    Column(
        "dropoff_at",
        "timestamp_ntz",
        ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime", "trip_dropoff_datetime"),
        "Meter off, New York wall clock",
        needed=True,
    ),
    Column("pickup_zone", "smallint", ("pulocationid", "pickup_location_id"), "Taxi zone of the pickup", needed=True),
    Column(
        "dropoff_zone", "smallint", ("dolocationid", "dropoff_location_id"), "Taxi zone of the drop-off", needed=True
    ),
    Column(
        "distance_miles", "double", ("trip_distance",), "Distance by the meter; null when not positive", needed=True
    ),
    Column("passenger_count", "int", ("passenger_count",), "As the driver entered it; null on app-booked trips"),
    Column("payment_type", "int", ("payment_type",), "1 card, 2 cash, 3 no charge, 4 dispute, 0 flex fare"),
    Column(
        "rate_code", "int", ("ratecodeid", "rate_code_id", "rate_code"), "1 standard, 2 JFK, 3 Newark, 5 negotiated …"
    ),
    Column("trip_type", "int", ("trip_type",), "Green only: 1 street hail, 2 dispatch"),
    Column("store_and_forward", "string", ("store_and_fwd_flag", "store_and_forward"), "Y: sent late, no connection"),
    Column("request_source", "string", ("request_source",), "How the trip was asked for, from 2026-06"),
    Column("fare_amount", "double", ("fare_amount", "fare_amt"), "Fare by the meter, dollars"),
    Column("extra", "double", ("extra", "surcharge"), "Surcharges for the hour, dollars"),
    Column("mta_tax", "double", ("mta_tax",), "Tax of the transport authority, dollars"),
    Column("tip_amount", "double", ("tip_amount", "tip_amt"), "Tip by card, dollars"),
    Column("tolls_amount", "double", ("tolls_amount", "tolls_amt"), "Tolls, dollars"),
    Column("ehail_fee", "double", ("ehail_fee",), "Green only, dollars"),
    Column("improvement_surcharge", "double", ("improvement_surcharge",), "From 2015, dollars"),
    Column("congestion_surcharge", "double", ("congestion_surcharge",), "From 2019, dollars"),
    Column("airport_fee", "double", ("airport_fee",), "Yellow, from 2021, dollars"),
    Column("cbd_congestion_fee", "double", ("cbd_congestion_fee",), "From 2025-01, dollars"),
    Column("total_amount", "double", ("total_amount", "total_amt"), "What the passenger was charged, dollars"),
)

_KINDS = {"smallint": "number", "int": "number", "double": "number", "timestamp_ntz": "time", "string": "text"}


@dataclass(frozen=True)
class Reading:
    """How one canonical column is read: from which column of the file, or from none (all null)."""

    column: Column
    source: str | None


@dataclass(frozen=True)
class ReadPlan:
    """How a file is read into the canonical schema."""

    readings: tuple[Reading, ...]
    unknown: tuple[str, ...]
    """Columns of the file, with their types, that are not read: new ones, or optional ones of a type that does
    not fit. They stay in bronze and are noted; they are no error."""


def read_footer(path: Path) -> pq.FileMetaData:
    """The Parquet footer of a file; raises BrokenFileError when the file has none that can be read."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            size = path.stat().st_size
        if size == 0:
            raise BrokenFileError(f"{path.name} is empty.")
        if head.lstrip()[:1] == b"<":
            raise BrokenFileError(f"{path.name} is a web page, not a Parquet file.")
        if head[:4] != b"PAR1":
            raise BrokenFileError(f"{path.name} is not a Parquet file.")
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise BrokenFileError(f"{path.name} is truncated or damaged: its footer does not read ({reason}).") from error


def read_plan(schema: pa.Schema, name: str) -> ReadPlan:
    """Maps the columns of a file to the canonical ones.

    `name` is the file's, for messages. Raises BrokenFileError naming each necessary column that is missing, is
    there twice, or has a type that cannot be what it should be.
    """
    by_lower: dict[str, list[str]] = {}
    for field in schema:
        by_lower.setdefault(field.name.lower(), []).append(field.name)
    readings, problems, known = [], [], set[str]()
    for column in COLUMNS:
        found = [original for source in column.sources for original in by_lower.get(source, [])]
        fitting = [original for original in found if _fits(schema.field(original).type, column)]
        known.update(fitting)
        if len({original.lower() for original in found}) < len(found) or (column.needed and len(fitting) > 1):
            problems.append(f"{column.name} is there more than once ({', '.join(found)})")
        elif column.needed and not found:
            problems.append(f"{column.name} is missing (published as {', '.join(column.sources)})")
        elif column.needed and not fitting:
            problems.append(f"{found[0]} has type {schema.field(found[0]).type}, which is no {_KINDS[column.type]}")
        filled = [original for original in fitting if not pa.types.is_null(schema.field(original).type)]
        readings.append(Reading(column, filled[0] if filled else None))
    if problems:
        raise BrokenFileError(f"{name} cannot be read as trips: {'; '.join(problems)}.")
    unknown = tuple(f"{field.name} ({field.type})" for field in schema if field.name not in known)
    return ReadPlan(tuple(readings), unknown)


def describe(schema: pa.Schema) -> dict[str, str]:
    """Column names and types of a file, for its receipt."""
    return {field.name: str(field.type) for field in schema}


def _fits(kind: pa.DataType, column: Column) -> bool:
    """Whether a file's type can be cast to the canonical one without guessing."""
    if pa.types.is_null(kind):
        return not column.needed
    match _KINDS[column.type]:
        case "number":
            return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        case "time":
            return pa.types.is_timestamp(kind) and kind.tz is None
        case _:
            return not pa.types.is_nested(kind)


def column_names(columns: Iterable[Column] = COLUMNS) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
