"""Sketches and rollup tables, on cells made by hand; `test_months` compares them with another engine."""

import math

import numpy as np
import pyarrow as pa
import pytest

from logitrack_assets.trips.rollups import GAMMA, TABLES, quantile, rollup_tables


def sketch_bins(minutes: np.ndarray) -> np.ndarray:
    return np.ceil(np.log(minutes) / math.log(GAMMA) - 1e-9).astype(int)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 1])
def test_quantile_of_merged_sketches_is_within_one_percent(share):
    minutes = np.random.default_rng(1).lognormal(2.5, 0.7, 5_000)
    sketches = [np.unique(sketch_bins(part), return_counts=True) for part in np.array_split(minutes, 3)]
    bins, counts = (np.concatenate([sketch[place] for sketch in sketches]) for place in (0, 1))
    exact = np.sort(minutes)[math.floor(share * (len(minutes) - 1))]
    assert quantile(bins, counts, share) == pytest.approx(exact, rel=0.0101)


def test_quantile_of_empty_sketch_is_refused():
    with pytest.raises(ValueError, match="empty sketch"):
        quantile([], [], 0.5)


def cells(rows: list[dict]) -> pa.Table:
    keys = ("pickup_zone", "dropoff_zone", "weekday", "hour", "payment_type")
    types = {"grain": pa.string(), "fleet": pa.string(), **dict.fromkeys(keys, pa.int16()), "bin": pa.int16(),
             "trips": pa.int32(), "duration_sum": pa.float64(), "distance_sum": pa.float64()}  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(types))


def pair(pickup: int, dropoff: int, bin_: int, trips: int) -> dict:
    return {"grain": "pair", "fleet": "yellow", "pickup_zone": pickup, "dropoff_zone": dropoff, "bin": bin_,
            "trips": trips, "duration_sum": 10.0 * trips, "distance_sum": 2.0 * trips}  # fmt: skip


def test_zone_rollup_counts_both_ends_and_merges_bins():
    zones = rollup_tables(cells([pair(1, 2, 5, 3), pair(1, 3, 5, 4), pair(1, 3, 9, 1)]), "2019-01")["trip_stats_zone"]
    rows = {(row["direction"], row["zone"]): row for row in zones.to_pylist()}
    assert {key: row["trips"] for key, row in rows.items()} == {("pickup", 1): 8, ("dropoff", 2): 3, ("dropoff", 3): 5}
    pickup = rows["pickup", 1]
    assert (pickup["month"], pickup["fleet"]) == ("2019-01", "yellow")
    assert (pickup["bins"], pickup["counts"]) == ([5, 9], [7, 1])
    assert (pickup["duration_sum"], pickup["distance_sum"]) == (80.0, 16.0)


def test_rollups_of_no_cells_are_empty_tables():
    tables = rollup_tables(cells([]), "2019-01")
    assert set(tables) == {*TABLES, "trip_stats_zone"}
    assert all(table.num_rows == 0 for table in tables.values())
