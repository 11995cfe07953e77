"""From a month's files to trips that count and rows that do not: plain functions from DataFrame to DataFrame.

`read` gives the canonical columns of one file, `describe` adds what analysts and the model need, `judge` adds the
name of the first broken rule. No row is dropped on the way: trips are the rows whose `rule` is null.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.newyork import holidays_of
from logitrack_assets.reference.zones import zones
from logitrack_assets.trips.rules import DUPLICATE, RULES, first_broken, month_bounds
from logitrack_assets.trips.schema import COLUMNS, ReadPlan

DERIVED = {
    "duration_minutes": ("double", "Drop-off minus pickup"),
    "pickup_hour": ("smallint", "Hour of the pickup, 0 to 23"),
    "pickup_weekday": ("smallint", "ISO weekday of the pickup, Monday is 1"),
    "is_holiday": ("boolean", "Whether the pickup's day is a holiday in New York"),
    "pickup_borough": ("string", "Borough of the pickup's zone"),
    "dropoff_borough": ("string", "Borough of the drop-off's zone"),
}
_FIRST = ("vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "distance_miles")

SILVER: dict[str, tuple[str, str]] = {
    "fleet": ("string", "yellow or green"),
    **{column.name: (column.type, column.meaning) for column in COLUMNS if column.name in _FIRST},
    **DERIVED,
    **{column.name: (column.type, column.meaning) for column in COLUMNS if column.name not in _FIRST},
}
"""Columns of a silver month, in order: type and meaning. A rejected month has `rule` besides."""

REJECTED: dict[str, tuple[str, str]] = {**SILVER, "rule": ("string", "The first rule that the row broke")}


def read(spark: SparkSession, path: Path | str, plan: ReadPlan, fleet: str) -> DataFrame:
    """The canonical columns of a fleet's file, `fleet`, and `source_row`: the row's place in the file."""
    # Nanoseconds (pandas writes them) come as a number; no other type is touched by this.
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
        return F.expr(f"try_cast(`{source}` as {kind})")  # what does not fit (a zone of 70,000) is not known

    return frame.select(
        F.lit(fleet).alias("fleet"),
        F.col("_metadata.row_index").alias("source_row"),
        *(expression(reading.source, reading.column.type).alias(reading.column.name) for reading in plan.readings),
    )


def describe(trips: DataFrame, month: str) -> DataFrame:
    """Adds the derived columns to canonical rows and turns a distance that is not positive into null."""
    start, _ = month_bounds(month)
    year_days = np.concatenate([holidays_of(year) for year in (start.year - 1, start.year, start.year + 1)])
    in_month = [str(day) for day in year_days if str(day).startswith(month)]
    day = F.col("pickup_at").cast("date")
    borough = F.array(*(F.lit(zone.borough) for zone in zones()))
    derived = {
        "distance_miles": F.expr("case when distance_miles > 0 and not isnan(distance_miles) then distance_miles end"),
        # As numbers, for the clock never shifts and arithmetic on intervals costs twice as much. The session's zone
        # is UTC, so these casts change nothing.
        "duration_minutes": F.expr(
            "(unix_micros(cast(dropoff_at as timestamp)) - unix_micros(cast(pickup_at as timestamp))) / 60000000D"
        ),
        "pickup_hour": F.hour("pickup_at").cast("smallint"),
        "pickup_weekday": (F.weekday(day) + 1).cast("smallint"),
        "is_holiday": day.isin([F.lit(text).cast("date") for text in in_month]) if in_month else F.lit(False),
        "pickup_borough": F.try_element_at(borough, F.col("pickup_zone").cast("int")),
        "dropoff_borough": F.try_element_at(borough, F.col("dropoff_zone").cast("int")),
    }
    return trips.withColumns(derived)


def judge(trips: DataFrame, month: str) -> DataFrame:
    """Adds `rule`, the name of the first rule that a row breaks, null for a trip that counts.

    Takes the rows of `describe`, all files of the month together, and gives the columns of a rejected month.
    Rows that repeat a ride are found among those that break no other rule: one small aggregation over the keys
    of all rows, and only the few groups that have more than one row travel back to them.
    """
    ride = ("fleet", "vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone")
    others = tuple(rule for rule in RULES if rule.name != DUPLICATE)
    # Rows without a distance come after those with one. A file has far fewer than 2**40 rows.
    rank = F.expr("source_row + case when distance_miles is null then 1099511627776 else 0 end")
    repeated = (
        trips.where(F.expr(first_broken(month, others)).isNull())
        .groupBy(*ride)
        .agg(F.count(F.lit(1)).alias("rows"), F.min(rank).alias("first"))
        .where("rows > 1")
        .select(*(F.col(name).alias(f"its_{name}") for name in ride), F.expr("first % 1099511627776").alias("kept_row"))
    )
    same_ride = [F.col(name).eqNullSafe(F.col(f"its_{name}")) for name in ride]
    return (
        trips.join(F.broadcast(repeated), same_ride, "left")
        .withColumn("rule", F.expr(first_broken(month)))
        .select(*REJECTED)
    )


def kept(judged: DataFrame) -> DataFrame:
    """The trips that count."""
    return judged.where("rule is null").select(*SILVER)


def rejected(judged: DataFrame) -> DataFrame:
    """The rows that break a rule, with its name."""
    return judged.where("rule is not null")


def union(frames: Iterable[DataFrame]) -> DataFrame:
    """All rows of frames with the same columns."""
    first, *rest = frames
    for frame in rest:
        first = first.unionByName(frame)
    return first
