"""How slow traffic was, month by month: what lets a model follow a change that geometry cannot see.

A trip's delay is log(real minutes) minus what a fixed curve of the straight distance says. Its mean over a month,
by fleet and hour (working days apart from weekends and holidays), is known as soon as the month is over. A training
row of month m is given the delays of the newest month before m; a question is given those of the artifact's newest
month. So a feature never holds anything that was not known when the question was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.features import (
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    WITHIN_ZONE_MILES,
    FeatureTables,
    TripBatch,
    geometry,
    hour_of_week_kind,
    pair_features,
)

CURVE = (1.9348, 0.7276, 0.0196)
"""log(minutes) = a + b x + c x², x = log(straight miles + 0.4); least squares on yellow 2018 and 2019. A yardstick
only: whatever it gets wrong, trees learn."""

SHRINKAGE_TRIPS = 30.0
"""An hour with this many trips is believed half, and half drawn to the month's level and the usual day's shape."""


def month_number(moments: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Months since January 1970."""
    return moments.astype("datetime64[M]").astype(np.int64)


def month_name(number: int) -> str:
    """`YYYY-MM` of a month number."""
    return str(np.datetime64(int(number), "M"))


@cache
def curve_log_minutes() -> NDArray[np.float64]:
    """What the curve says for each pair of zones, float64 (ZONES, ZONES); NaN for row and column 0."""
    x = np.log(geometry().straight_miles + float(WITHIN_ZONE_MILES))
    return CURVE[0] + CURVE[1] * x + CURVE[2] * x * x


def delay_cells(trips: TripBatch) -> NDArray[np.int64]:
    """Index of each trip into the flattened (fleet, hour of the week's kind)."""
    return trips.fleet.astype(np.int64) * HOURS_OF_WEEK_KINDS + hour_of_week_kind(trips.pickup_at)


CELLS = len(FLEETS) * HOURS_OF_WEEK_KINDS


@dataclass(frozen=True)
class Delays:
    """Sums from which delays are made.

    months: int64 (m,), ascending month numbers that have trips.
    trips, delay_sum: float64 (m, len(FLEETS), HOURS_OF_WEEK_KINDS).
    """

    months: NDArray[np.int64]
    trips: NDArray[np.float64]
    delay_sum: NDArray[np.float64]

    def before(self, month: int) -> FeatureTables:
        """Tables for a trip of `month`: delays of the newest month before it. The first month of all, which has
        none before it, is given its own.

        A fleet without trips is given the other's delays.
        """
        earlier = int(np.searchsorted(self.months, month)) - 1
        return self._tables(max(earlier, 0))

    def newest(self) -> FeatureTables:
        """Tables for questions asked after the newest month."""
        return self._tables(len(self.months) - 1)

    def _tables(self, index: int) -> FeatureTables:
        delay = np.zeros((len(FLEETS), HOURS_OF_WEEK_KINDS, 2), dtype=np.float32)
        for fleet in range(len(FLEETS)):
            last = index
            while last > 0 and self.trips[last, fleet].sum() == 0:
                last -= 1  # this fleet published nothing that month: its newest month before
            busiest = int(np.argmax(self.trips[: index + 1].sum(axis=(0, 2))))
            source = fleet if self.trips[last, fleet].sum() else busiest
            if source != fleet:
                last = index
                while last > 0 and self.trips[last, source].sum() == 0:
                    last -= 1
            delay[fleet, :, 0], delay[fleet, :, 1] = self._month(last, source, through=index)
        return FeatureTables(pair_features(), delay)

    def _month(self, index: int, fleet: int, *, through: int) -> tuple[NDArray[np.float64], float]:
        trips, total = self.trips[index, fleet], self.delay_sum[index, fleet]
        level = float(total.sum() / max(trips.sum(), 1.0))
        past_trips = self.trips[: through + 1, fleet].sum(axis=0)
        past_level = self.delay_sum[: through + 1, fleet].sum() / max(past_trips.sum(), 1.0)
        shape = (self.delay_sum[: through + 1, fleet].sum(axis=0) + SHRINKAGE_TRIPS * past_level) / (
            past_trips + SHRINKAGE_TRIPS
        )
        usual = level + shape - past_level
        return (total + SHRINKAGE_TRIPS * usual) / (trips + SHRINKAGE_TRIPS), level


def without_delays() -> FeatureTables:
    """Tables for a recipe that lets trees learn the usual day and trusts it to last."""
    return FeatureTables(pair_features(), np.zeros((len(FLEETS), HOURS_OF_WEEK_KINDS, 2), dtype=np.float32))


def sum_delays(trips: TripBatch, minutes: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """For each month number: (CELLS, 2) with the number of trips and the sum of their delays."""
    delay = np.log(minutes) - curve_log_minutes()[trips.pickup_zone, trips.dropoff_zone]
    cells, months = delay_cells(trips), month_number(trips.pickup_at)
    sums = {}
    for month in np.unique(months):
        rows = months == month
        counts = np.bincount(cells[rows], minlength=CELLS)
        sums[int(month)] = np.stack(
            [counts, np.bincount(cells[rows], weights=delay[rows], minlength=CELLS)], axis=1
        ).astype(np.float64)
    return sums


def from_sums(sums: dict[int, NDArray[np.float64]]) -> Delays:
    """Delays from what `sum_delays` gave, added over batches."""
    months = np.array(sorted(sums), dtype=np.int64)
    stacked = np.stack([sums[int(month)] for month in months])
    shape = (len(months), len(FLEETS), HOURS_OF_WEEK_KINDS)
    return Delays(months, stacked[:, :, 0].reshape(shape), stacked[:, :, 1].reshape(shape))
