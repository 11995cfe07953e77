"""What a month's clean trips add up to: exact counts and sums, percentiles by a mergeable sketch, and a sample.

The sketch is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019): a
histogram of durations in bins that grow by a constant factor, so that every quantile comes out within 1% of the
exact one, however groups and months are merged.
"""

import math
from collections.abc import Sequence

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
NO_PAYMENT = -1
"""Payment type of a trip that has none recorded."""

GRAINS: dict[str, dict[str, str]] = {
    "trip_stats_hour": {"weekday": "pickup_weekday", "hour": "pickup_hour"},
    "trip_stats_zone_hour": {"pickup_zone": "pickup_zone", "weekday": "pickup_weekday", "hour": "pickup_hour"},
    "trip_stats_pair": {"pickup_zone": "pickup_zone", "dropoff_zone": "dropoff_zone"},
    "trip_stats_zone": {"zone": "pickup_zone", "direction": "'pickup'"},
    "trip_stats_payment": {"payment_type": f"cast(coalesce(payment_type, {NO_PAYMENT}) as smallint)"},
}
"""Rollup tables: the name of each key and the expression over a silver row that gives it."""

SAMPLE_COLUMNS = (
    "fleet", "pickup_at", "dropoff_at", "pickup_hour", "pickup_weekday", "is_holiday", "pickup_zone", "dropoff_zone",
    "pickup_borough", "dropoff_borough", "distance_miles", "duration_minutes", "passenger_count", "payment_type",
    "fare_amount", "tip_amount", "total_amount",
)  # fmt: skip
TRIP_ID = "xxhash64(fleet, vendor_id, pickup_at, dropoff_at, pickup_zone, dropoff_zone)"
"""A trip's number: it follows from what makes the trip, so it is the same on every run and on every machine."""


def bin_of(minutes: Column) -> Column:
    """The sketch's bin of a duration: the least i with minutes <= GAMMA**i."""
    # A power of GAMMA must not fall into the next bin by a rounding error of the logarithm.
    return F.ceil(F.log(minutes) / math.log(GAMMA) - 1e-9).cast("smallint")


def quantile(bins: Sequence[int], counts: Sequence[int], share: float) -> float:
    """The duration, in minutes and within 1%, that `share` (0 to 1) of the sketched trips do not exceed.

    `bins` may be in any order and repeat, so merged sketches are simply concatenated ones. Raises ValueError for an
    empty sketch.
    """
    if not len(bins):
        raise ValueError("an empty sketch has no quantiles")
    order = np.argsort(bins, kind="stable")
    reached = np.cumsum(np.asarray(counts)[order])
    place = np.searchsorted(reached, math.floor(share * (reached[-1] - 1)), side="right")
    return float(2 * GAMMA ** float(np.asarray(bins)[order][place]) / (GAMMA + 1))


def rollup(trips: DataFrame, month: str, table: str) -> DataFrame:
    """The rows of a rollup table for a month of clean trips."""
    if table == "trip_stats_zone":
        both_ends = {"pickup": "pickup_zone", "dropoff": "dropoff_zone"}
        one, other = (
            _rollup(trips, month, {"zone": zone, "direction": f"'{direction}'"})
            for direction, zone in both_ends.items()
        )
        return one.unionByName(other)
    return _rollup(trips, month, GRAINS[table])


def _rollup(trips: DataFrame, month: str, keys: dict[str, str]) -> DataFrame:
    named = ["fleet", *keys]
    measured = trips.select(
        "fleet",
        *(F.expr(expression).alias(name) for name, expression in keys.items()),
        bin_of(F.col("duration_minutes")).alias("bin"),
        "duration_minutes",
        "distance_miles",
    )
    by_bin = measured.groupBy(*named, "bin").agg(
        F.count(F.lit(1)).alias("count"),
        F.sum("duration_minutes").alias("duration"),
        F.coalesce(F.sum("distance_miles"), F.lit(0.0)).alias("distance"),
    )
    pairs = F.array_sort(F.collect_list(F.struct("bin", F.col("count").cast("int").alias("count"))))
    return (
        by_bin.groupBy(*named)
        .agg(
            F.sum("count").alias("trips"),
            F.sum("duration").alias("duration_sum"),
            F.sum("distance").alias("distance_sum"),
            pairs.alias("pairs"),
        )
        .select(
            F.lit(month).alias("month"),
            *named,
            "trips",
            "duration_sum",
            "distance_sum",
            F.col("pairs.bin").alias("bins"),
            F.col("pairs.count").alias("counts"),
        )
    )


def sample(trips: DataFrame, month: str, fleet: str, rows: int) -> DataFrame:
    """The `rows` trips of a fleet whose numbers come first when hashed: the same ones on every run.

    A larger sample contains the smaller ones.
    """
    chosen = (
        trips.where(F.col("fleet") == fleet)
        .select(F.expr(TRIP_ID).alias("trip_id"), *SAMPLE_COLUMNS)
        # The number itself would do, were it not also a key that people may filter by.
        .orderBy(F.xxhash64("trip_id"), "trip_id")
        .limit(rows)
    )
    return chosen.select("trip_id", F.lit(month).alias("month"), *SAMPLE_COLUMNS)
