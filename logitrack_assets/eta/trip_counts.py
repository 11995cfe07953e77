"""Counts of trips and delays by month and fleet, and of trips by zone pair, computed on Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.features import FLEETS, ZONES
from logitrack_assets.eta.traffic import CELLS, Delays, sum_delays
from logitrack_assets.months import Month

_FIXED_POINT = 2**20


@dataclass(frozen=True)
class TripCounts:
    """Counts of one pass over the trips.

    Attributes:
        trips: Number of trips by month and fleet code; positive.
        delays: Delays by month, fleet and hour.
    """

    trips: dict[tuple[Month, int], int]
    delays: Delays

    @property
    def months(self) -> list[Month]:
        """The months that have trips, ascending."""
        return sorted({month for month, _ in self.trips})

    @property
    def fleets(self) -> list[str]:
        """The names of the fleets that have trips, in the order of `FLEETS`."""
        return [FLEETS[code] for code in sorted({code for _, code in self.trips})]

    def trips_in_month(self, month: Month) -> int:
        """Return the number of trips of a month, all fleets."""
        return sum(count for (counted, _), count in self.trips.items() if counted == month)

    def total(self, months: Sequence[Month]) -> int:
        """Return the number of trips of several months, all fleets."""
        return sum(self.trips_in_month(month) for month in months)


def count_trips(trips: DataFrame) -> TripCounts:
    """Return counts of trips and delays by month, fleet and hour, in one pass."""
    table = trips.mapInArrow(_partial_sums, "month long, cell long, trips double, delay double").toArrow()
    month, cell = table["month"].to_numpy(), table["cell"].to_numpy()
    # Sums of fixed-point numbers do not depend on their order, so the last digit is the same in every run.
    count, delay = table["trips"].to_numpy(), np.round(table["delay"].to_numpy() * _FIXED_POINT)
    sums: dict[int, NDArray[np.float64]] = {}
    for number in np.unique(month):
        rows = month == number
        counts = np.bincount(cell[rows], weights=count[rows], minlength=CELLS)
        totals = np.bincount(cell[rows], weights=delay[rows], minlength=CELLS) / _FIXED_POINT
        sums[int(number)] = np.stack([counts, totals], axis=1)
    delays = Delays.from_sums(sums)
    by_fleet = delays.trips.sum(axis=2).astype(np.int64)
    return TripCounts(
        {
            (Month(int(number)), fleet): int(by_fleet[index, fleet])
            for index, number in enumerate(delays.months)
            for fleet in range(len(FLEETS))
            if by_fleet[index, fleet]
        },
        delays,
    )


def _partial_sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows == 0:
            continue
        rows = TripDataset.from_arrow(batch)
        for month, sums in sum_delays(rows.batch, rows.minutes).items():
            cells = np.flatnonzero(sums[:, 0])
            yield pa.record_batch(
                {
                    "month": pa.array(np.full(len(cells), month, dtype=np.int64)),
                    "cell": pa.array(cells.astype(np.int64)),
                    "trips": pa.array(sums[cells, 0]),
                    "delay": pa.array(sums[cells, 1]),
                }
            )


def count_pairs(trips: DataFrame) -> NDArray[np.int32]:
    """Return the number of trips by pickup and drop-off zone, int32 (ZONES, ZONES)."""
    table = trips.groupBy("pickup_zone", "dropoff_zone").count().toArrow()
    support = np.zeros((ZONES, ZONES), dtype=np.int32)
    support[table["pickup_zone"].to_numpy(), table["dropoff_zone"].to_numpy()] = table["count"].to_numpy()
    return support
