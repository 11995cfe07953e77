"""Cleaning of a month: plain functions from DataFrame to DataFrame.

`read_file` returns the canonical columns of a file, `add_derived_columns` adds duration, calendar and boroughs,
`apply_rules` adds the name of the first violated rule. No step drops rows: valid trips are the rows whose `rule` is
null.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.months import Month
from logitrack_assets.nyc_calendar import holidays_in
from logitrack_assets.reference.zones import zones
from logitrack_assets.trips.file_schema import ReadPlan
from logitrack_assets.trips.rules import DUPLICATE, RULES, first_violated_rule, rule_moments
from logitrack_assets.trips.schema import REJECTED, SILVER, TRIP_KEY

_WITHOUT_DISTANCE = 2**40
"""Added to the row number of rows without a distance to sort them last; no file has that many rows."""


def read_file(spark: SparkSession, path: Path | str, plan: ReadPlan, fleet: str) -> DataFrame:
    """Return the canonical columns of a fleet's file, `fleet`, and `source_row`, the row number in the file."""
    # Spark refuses nanosecond timestamps, which pandas writes; with this setting it returns them as bigint.
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    frame = spark.read.parquet(str(path))
    types = dict(frame.dtypes)

    def expression(source: str | None, kind: str) -> Column:
        if source is None:
            return F.lit(None).cast(kind)
        if types[source] == kind:
            return F.col(f"`{source}`")
        if kind == "timestamp_ntz" and types[source] == "bigint":
            return F.expr(f"cast(timestamp_micros(`{source}` div 1000) as timestamp_ntz)")
        return F.expr(f"try_cast(`{source}` as {kind})")  # out of range, such as zone 70,000, becomes null

    return frame.select(
        F.lit(fleet).alias("fleet"),
        F.col("_metadata.row_index").alias("source_row"),
        *(expression(reading.source, reading.column.type).alias(reading.column.name) for reading in plan.readings),
    )


def month_parameters(spark: SparkSession, month: Month) -> DataFrame:
    """Return one row with the moments and holidays of a month, to be joined to each trip.

    They are values in a row and not literals in the query, so that one query plan serves every month: Spark compiles
    it once per application.
    """
    moments = ", ".join(f"timestamp_ntz '{moment}' as {name}" for name, moment in rule_moments(month).items())
    days = [f"date '{day}'" for day in holidays_in(month.year) if str(day).startswith(str(month))]
    holidays = f"cast(array({', '.join(days)}) as array<date>) as month_holidays"
    return spark.sql(f"select {moments}, {holidays}")


def add_derived_columns(trips: DataFrame, parameters: DataFrame) -> DataFrame:
    """Add duration, hour, weekday, holiday and boroughs; replace distances that are not positive by null.

    Args:
        trips: Rows of `read_file`.
        parameters: The row of `month_parameters`; its columns are kept for the rules.
    """
    day = F.col("pickup_at").cast("date")
    borough = F.array(*(F.lit(zone.borough) for zone in zones()))
    derived = {
        "distance_miles": F.expr("case when distance_miles > 0 and not isnan(distance_miles) then distance_miles end"),
        # Arithmetic on intervals takes twice as long as on numbers. The session's time zone is UTC, so the casts
        # do not shift the wall clock.
        "duration_minutes": F.expr(
            "(unix_micros(cast(dropoff_at as timestamp)) - unix_micros(cast(pickup_at as timestamp))) / 60000000D"
        ),
        "pickup_hour": F.hour("pickup_at").cast("smallint"),
        "pickup_weekday": (F.weekday(day) + 1).cast("smallint"),
        "is_holiday": F.array_contains(F.col("month_holidays"), day),
        "pickup_borough": F.get(borough, F.col("pickup_zone") - 1),
        "dropoff_borough": F.get(borough, F.col("dropoff_zone") - 1),
    }
    return trips.crossJoin(F.broadcast(parameters)).withColumns(derived)


def find_duplicates(trips: DataFrame) -> DataFrame:
    """Return the trip keys that several rows share, among the rows that violate no other rule.

    The result is small unless most of a file is duplicated. Keys are compared by a 64-bit hash: in a month of three
    million trips, a collision has a probability of about 1 in 4 million.

    Args:
        trips: Rows of `add_derived_columns`.

    Returns:
        `trip_hash`, and `kept_row`, the `source_row` of the row to keep: the first one with a distance.
    """
    others = tuple(rule for rule in RULES if rule.name != DUPLICATE)
    rank = F.expr(f"source_row + case when distance_miles is null then {_WITHOUT_DISTANCE} else 0 end")
    return (
        trips.where(F.expr(first_violated_rule(others)).isNull())
        .groupBy(F.xxhash64(*TRIP_KEY).alias("trip_hash"))
        .agg(F.count(F.lit(1)).alias("rows"), F.min(rank).alias("first"))
        .where("rows > 1")
        .selectExpr("trip_hash", f"first % {_WITHOUT_DISTANCE} as kept_row")
    )


def apply_rules(trips: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Add `rule`, the name of the first rule that a row violates, null for a valid trip.

    Args:
        trips: Rows of `add_derived_columns`.
        duplicates: The result of `find_duplicates` for these rows.

    Returns:
        All rows, with the columns of a rejected month.
    """
    return (
        trips.withColumn("trip_hash", F.xxhash64(*TRIP_KEY))
        .join(F.broadcast(duplicates), "trip_hash", "left")
        .withColumn("rule", F.expr(first_violated_rule()))
        .select(*REJECTED)
    )


def valid_rows(checked: DataFrame) -> DataFrame:
    """Return the valid trips among the rows of `apply_rules`, with the columns of a silver month."""
    return checked.where("rule is null").select(*SILVER)


def rejected_rows(checked: DataFrame) -> DataFrame:
    """Return the rows of `apply_rules` that violate a rule."""
    return checked.where("rule is not null")


def union_all(frames: Iterable[DataFrame]) -> DataFrame:
    """Return all rows of one or more frames with the same columns."""
    return reduce(DataFrame.unionByName, frames)
