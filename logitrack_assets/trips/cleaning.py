"""From a month's files to trips that count and rows that do not: plain functions from DataFrame to DataFrame.

`read` gives the canonical columns of one file, `describe` adds what analysts and the model need, `apply_rules` adds the
name of the first broken rule. No row is dropped on the way: trips are the rows whose `rule` is null.
"""

from collections.abc import Iterable
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.nyc_calendar import holidays_in
from logitrack_assets.reference.zones import zones
from logitrack_assets.trips.rules import DUPLICATE, RULES, first_broken_rule, moments_of, month_bounds
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

RIDE = ("fleet", "vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone")
"""What makes two rows the same ride."""

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


def month_facts(spark: SparkSession, month: str) -> DataFrame:
    """One row with the month's moments and its holidays, to be joined to each trip.

    As values in a row and not as literals in the plan: the same plan then serves every month, and Spark compiles it
    once in a run and not once a month.
    """
    start, _ = month_bounds(month)
    moments = ", ".join(f"timestamp_ntz '{moment}' as {name}" for name, moment in moments_of(month).items())
    days = [f"date '{day}'" for day in holidays_in(start.year) if str(day).startswith(month)]
    holidays = f"cast(array({', '.join(days)}) as array<date>) as month_holidays"
    return spark.sql(f"select {moments}, {holidays}")


def describe(trips: DataFrame, facts: DataFrame) -> DataFrame:
    """Adds the derived columns to canonical rows and turns a distance that is not positive into null.

    `facts` is the row of `month_facts`; its columns stay, for the rules speak of them.
    """
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
        "is_holiday": F.array_contains(F.col("month_holidays"), day),
        "pickup_borough": F.get(borough, F.col("pickup_zone") - 1),
        "dropoff_borough": F.get(borough, F.col("dropoff_zone") - 1),
    }
    return trips.crossJoin(F.broadcast(facts)).withColumns(derived)


def find_duplicates(trips: DataFrame) -> DataFrame:
    """Rides that more than one row records, among the rows of `describe` that break no other rule.

    One row for each: the ride's number, and `kept_row`, the row that stands for it: the first in the file that gives
    a distance. Few rows come out, whatever goes in, unless a file is mostly doubled. Two rides of a month of three
    million share a number once in four million months.
    """
    others = tuple(rule for rule in RULES if rule.name != DUPLICATE)
    # Rows without a distance come after those with one. A file has far fewer than 2**40 rows.
    rank = F.expr("source_row + case when distance_miles is null then 1099511627776 else 0 end")
    return (
        trips.where(F.expr(first_broken_rule(others)).isNull())
        .groupBy(F.xxhash64(*RIDE).alias("ride"))
        .agg(F.count(F.lit(1)).alias("rows"), F.min(rank).alias("first"))
        .where("rows > 1")
        .selectExpr("ride", "first % 1099511627776 as kept_row")
    )


def apply_rules(trips: DataFrame, repeated: DataFrame) -> DataFrame:
    """Adds `rule`, the name of the first rule that a row breaks, null for a trip that counts.

    Takes the rows of `describe` and what `find_duplicates` found among them; gives the columns of a rejected month.
    """
    return (
        trips.withColumn("ride", F.xxhash64(*RIDE))
        .join(F.broadcast(repeated), "ride", "left")
        .withColumn("rule", F.expr(first_broken_rule()))
        .select(*REJECTED)
    )


def valid_rows(checked: DataFrame) -> DataFrame:
    """The trips that count."""
    return checked.where("rule is null").select(*SILVER)


def rejected(checked: DataFrame) -> DataFrame:
    """The rows that break a rule, with its name."""
    return checked.where("rule is not null")


def union(frames: Iterable[DataFrame]) -> DataFrame:
    """All rows of frames with the same columns."""
    first, *rest = frames
    for frame in rest:
        first = first.unionByName(frame)
    return first
