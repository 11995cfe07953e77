"""Aggregates of a month's valid trips: exact counts and sums, mergeable duration sketches, and a sample.

The sketch is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019): a
histogram of durations in bins that grow by a constant factor. Every quantile is within 1% of the exact one, however
groups and months are merged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logitrack_assets.trips.schema import TRIP_KEY

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
NO_PAYMENT = -1
"""Payment type of trips without a recorded one."""

GRAINS: dict[str, dict[str, str]] = {
    "zone_hour": {"pickup_zone": "pickup_zone", "weekday": "pickup_weekday", "hour": "pickup_hour"},
    "pair": {"pickup_zone": "pickup_zone", "dropoff_zone": "dropoff_zone"},
    "payment": {"payment_type": f"cast(coalesce(payment_type, {NO_PAYMENT}) as smallint)"},
}
"""Grains at which trips are counted: each key's name and its SQL expression over a silver row."""

TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "trip_stats_hour": ("zone_hour", {"weekday": "weekday", "hour": "hour"}),
    "trip_stats_zone_hour": ("zone_hour", {"pickup_zone": "pickup_zone", "weekday": "weekday", "hour": "hour"}),
    "trip_stats_pair": ("pair", {"pickup_zone": "pickup_zone", "dropoff_zone": "dropoff_zone"}),
    "trip_stats_payment": ("payment", {"payment_type": "payment_type"}),
}
"""Rollup tables: the grain that each is summed from, and its keys with their names in the grain."""
MEASURES = ("trips", "duration_sum", "distance_sum")
KEYS = ("pickup_zone", "dropoff_zone", "weekday", "hour", "payment_type")

SAMPLE_COLUMNS = (
    "fleet", "pickup_at", "dropoff_at", "pickup_hour", "pickup_weekday", "is_holiday", "pickup_zone", "dropoff_zone",
    "pickup_borough", "dropoff_borough", "distance_miles", "duration_minutes", "passenger_count", "payment_type",
    "fare_amount", "tip_amount", "total_amount",
)  # fmt: skip
TRIP_ID = f"xxhash64({', '.join(TRIP_KEY)})"
"""SQL expression for a trip's identifier: a hash of its key, equal on every run and machine."""


def sketch_bin(minutes: Column) -> Column:
    """Return the sketch bin of a duration: the least i with minutes <= GAMMA**i."""
    # The margin keeps powers of GAMMA in their own bin despite rounding errors of the logarithm.
    return F.ceil(F.log(minutes) / math.log(GAMMA) - 1e-9).cast("smallint")


def quantile(bins: Sequence[int] | NDArray[Any], counts: Sequence[int] | NDArray[Any], share: float) -> float:
    """Return a quantile of sketched durations in minutes, within 1%.

    Args:
        bins: Bins in any order, possibly repeated: merged sketches are concatenated ones.
        counts: Trips in each bin.
        share: Share of trips at or below the quantile, 0 to 1.

    Raises:
        ValueError: The sketch is empty.
    """
    if not len(bins):
        raise ValueError("an empty sketch has no quantiles")
    order = np.argsort(bins, kind="stable")
    cumulative = np.cumsum(np.asarray(counts)[order])
    position = np.searchsorted(cumulative, math.floor(share * (cumulative[-1] - 1)), side="right")
    return float(2 * GAMMA ** float(np.asarray(bins)[order][position]) / (GAMMA + 1))


def count_cells(trips: DataFrame) -> DataFrame:
    """Return the counts of a month's trips by grain, keys and duration bin, from which all rollups are summed.

    Returns:
        Columns grain, fleet, `KEYS` (null where the grain lacks them), bin and `MEASURES`. The number of rows is
        bounded by the grains, not by the trips.
    """
    frames = []
    for grain, keys in GRAINS.items():
        key_columns = [F.expr(keys.get(name, "cast(null as smallint)")).alias(name) for name in KEYS]
        frames.append(
            trips.groupBy("fleet", *key_columns, sketch_bin(F.col("duration_minutes")).alias("bin"))
            .agg(
                F.count(F.lit(1)).cast("int").alias("trips"),
                F.sum("duration_minutes").alias("duration_sum"),
                F.coalesce(F.sum("distance_miles"), F.lit(0.0)).alias("distance_sum"),
            )
            .select(F.lit(grain).alias("grain"), "*")
        )
    return reduce(DataFrame.unionByName, frames)


def rollup_tables(cells: pa.Table, month: str) -> dict[str, pa.Table]:
    """Return the rows of every rollup table by its name.

    Args:
        cells: Rows of `count_cells`.
        month: `YYYY-MM`.
    """
    by_grain = {grain: cells.filter(pc.field("grain") == grain) for grain in GRAINS}
    rollups = {name: _sum_groups(by_grain[grain], month, keys) for name, (grain, keys) in TABLES.items()}
    zones = []
    for direction in ("pickup", "dropoff"):
        groups = _sum_groups(by_grain["pair"], month, {"zone": f"{direction}_zone"})
        zones.append(groups.append_column("direction", pa.repeat(direction, groups.num_rows)))
    return rollups | {"trip_stats_zone": pa.concat_tables(zones)}


def sample(trips: DataFrame, month: str, fleet: str, rows: int) -> DataFrame:
    """Return a reproducible sample of a fleet's trips; a larger sample contains the smaller ones.

    Args:
        trips: A silver month.
        month: `YYYY-MM`.
        fleet: The fleet.
        rows: Maximum number of trips.
    """
    selected = (
        trips.where(F.col("fleet") == fleet)
        .select(F.expr(TRIP_ID).alias("trip_id"), *SAMPLE_COLUMNS)
        # Ordered by a second hash: `trip_id` itself is a column that analysts can filter by.
        .orderBy(F.xxhash64("trip_id"), "trip_id")
        .limit(rows)
    )
    return selected.select("trip_id", F.lit(month).alias("month"), *SAMPLE_COLUMNS)


def _sum_groups(cells: pa.Table, month: str, keys: dict[str, str]) -> pa.Table:
    """Return one row per fleet and keys: sums, and the sketch as two lists, bins and counts.

    Args:
        cells: Cells of one grain.
        month: `YYYY-MM`.
        keys: Names of the key columns in the result, with their names in `cells`.
    """
    sources = ["fleet", *keys.values()]
    summed = (
        pa.TableGroupBy(cells, [*sources, "bin"], use_threads=False)
        .aggregate([(measure, "sum") for measure in MEASURES])
        .sort_by([(name, "ascending") for name in [*sources, "bin"]])
        .combine_chunks()
    )
    starts = _group_starts(summed, sources)
    offsets = pa.array([*starts, summed.num_rows], pa.int32())

    def total(measure: str) -> pa.Array:
        values = summed[f"{measure}_sum"].to_numpy()
        return pa.array(np.add.reduceat(values, starts) if len(starts) else values)

    def nested(name: str, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, summed[name].combine_chunks().cast(kind))

    groups = summed.select(sources).take(pa.array(starts)).rename_columns(["fleet", *keys])
    columns = {name: groups[name] for name in groups.column_names}
    columns |= {measure: total(measure) for measure in MEASURES}
    columns |= {"bins": nested("bin", pa.int16()), "counts": nested("trips_sum", pa.int32())}
    return pa.table({"month": pa.repeat(month, len(starts)), **columns})


def _group_starts(rows: pa.Table, keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each group's first row; `rows` is sorted by `keys`."""
    if not rows.num_rows:
        return np.zeros(0, dtype=np.int64)
    changes = np.zeros(rows.num_rows, dtype=np.bool_)
    changes[0] = True
    for name in keys:
        codes = pc.dictionary_encode(rows[name]).combine_chunks().indices.to_numpy()
        changes[1:] |= codes[1:] != codes[:-1]
    return np.flatnonzero(changes)
