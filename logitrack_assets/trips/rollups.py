"""What a month's clean trips add up to: exact counts and sums, percentiles by a mergeable sketch, and a sample.

The sketch is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019): a
histogram of durations in bins that grow by a constant factor, so that every quantile comes out within 1% of the
exact one, however groups and months are merged.
"""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
NO_PAYMENT = -1
"""Payment type of a trip that has none recorded."""

GRAINS: dict[str, dict[str, str]] = {
    "zone_hour": {"pickup_zone": "pickup_zone", "weekday": "pickup_weekday", "hour": "pickup_hour"},
    "pair": {"pickup_zone": "pickup_zone", "dropoff_zone": "dropoff_zone"},
    "payment": {"payment_type": f"cast(coalesce(payment_type, {NO_PAYMENT}) as smallint)"},
}
"""Grains that are counted from trips: the name of each key and the expression over a silver row that gives it."""

TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "trip_stats_hour": ("zone_hour", {"weekday": "weekday", "hour": "hour"}),
    "trip_stats_zone_hour": ("zone_hour", {"pickup_zone": "pickup_zone", "weekday": "weekday", "hour": "hour"}),
    "trip_stats_pair": ("pair", {"pickup_zone": "pickup_zone", "dropoff_zone": "dropoff_zone"}),
    "trip_stats_payment": ("payment", {"payment_type": "payment_type"}),
}
"""Rollup tables: the grain that each is summed up from, and its keys as the grain names them."""
MEASURES = ("trips", "duration_sum", "distance_sum")
KEYS = ("pickup_zone", "dropoff_zone", "weekday", "hour", "payment_type")

SAMPLE_COLUMNS = (
    "fleet", "pickup_at", "dropoff_at", "pickup_hour", "pickup_weekday", "is_holiday", "pickup_zone", "dropoff_zone",
    "pickup_borough", "dropoff_borough", "distance_miles", "duration_minutes", "passenger_count", "payment_type",
    "fare_amount", "tip_amount", "total_amount",
)  # fmt: skip
TRIP_ID = "xxhash64(fleet, vendor_id, pickup_at, dropoff_at, pickup_zone, dropoff_zone)"
"""A trip's number: it follows from what makes the trip, so it is the same on every run and on every machine."""


def sketch_bin(minutes: Column) -> Column:
    """The sketch's bin of a duration: the least i with minutes <= GAMMA**i."""
    # A power of GAMMA must not fall into the next bin by a rounding error of the logarithm.
    return F.ceil(F.log(minutes) / math.log(GAMMA) - 1e-9).cast("smallint")


def quantile(bins: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray, share: float) -> float:
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


def cells(trips: DataFrame) -> DataFrame:
    """Counts of a month's trips by grain, keys and bin of duration: what all rollups are summed up from.

    Columns: grain, fleet, the keys of any grain (null where a grain lacks them), bin, trips, duration_sum,
    distance_sum. Their number is bounded by the grains, not by the trips.
    """
    frames = []
    for grain, keys in GRAINS.items():
        named = [F.expr(keys.get(name, "cast(null as smallint)")).alias(name) for name in KEYS]
        frames.append(
            trips.groupBy("fleet", *named, sketch_bin(F.col("duration_minutes")).alias("bin"))
            .agg(
                F.count(F.lit(1)).cast("int").alias("trips"),
                F.sum("duration_minutes").alias("duration_sum"),
                F.coalesce(F.sum("distance_miles"), F.lit(0.0)).alias("distance_sum"),
            )
            .select(F.lit(grain).alias("grain"), "*")
        )
    first, *rest = frames
    for frame in rest:
        first = first.unionByName(frame)
    return first


def tables(counted: pa.Table, month: str) -> dict[str, pa.Table]:
    """The rows of every rollup table, from the cells of a month."""
    by_grain = {grain: counted.filter(pc.field("grain") == grain) for grain in GRAINS}
    rolled = {name: _sketched(by_grain[grain], month, keys) for name, (grain, keys) in TABLES.items()}
    ends = []
    for direction in ("pickup", "dropoff"):
        zones = _sketched(by_grain["pair"], month, {"zone": f"{direction}_zone"})
        ends.append(zones.append_column("direction", pa.repeat(direction, zones.num_rows)))
    return rolled | {"trip_stats_zone": pa.concat_tables(ends)}


def _sketched(cells: pa.Table, month: str, keys: dict[str, str]) -> pa.Table:
    """Sums cells up to one row a group, with the group's sketch as two lists: bins and counts."""
    sources = ["fleet", *keys.values()]
    summed = (
        pa.TableGroupBy(cells, [*sources, "bin"], use_threads=False)
        .aggregate([(measure, "sum") for measure in MEASURES])
        .sort_by([(name, "ascending") for name in [*sources, "bin"]])
        .combine_chunks()
    )
    if not summed.num_rows:
        starts = np.zeros(0, dtype=np.int64)
    else:
        changes = np.zeros(summed.num_rows, dtype=bool)
        changes[0] = True
        for name in sources:
            values = pc.dictionary_encode(summed[name]).combine_chunks().indices.to_numpy()
            changes[1:] |= values[1:] != values[:-1]
        starts = np.flatnonzero(changes)
    offsets = pa.array([*starts, summed.num_rows], pa.int32())

    def total(measure: str) -> pa.Array:
        values = summed[f"{measure}_sum"].to_numpy()
        return pa.array(np.add.reduceat(values, starts) if len(starts) else values)

    def listed(name: str, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, summed[name].combine_chunks().cast(kind))

    groups = summed.select(sources).take(pa.array(starts)).rename_columns(["fleet", *keys])
    columns = {name: groups[name] for name in groups.column_names}
    columns |= {measure: total(measure) for measure in MEASURES}
    columns |= {"bins": listed("bin", pa.int16()), "counts": listed("trips_sum", pa.int32())}
    return pa.table({"month": pa.repeat(month, len(starts)), **columns})


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
