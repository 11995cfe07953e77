"""Recent traffic delay by month, fleet and hour: the feature that follows changes that the geometry cannot show.

A trip's delay is log(real minutes) minus the value of a fixed curve of the straight distance. Its mean over a month, by
fleet and hour (working days apart from weekends and holidays), is known once the month is over. A training row of a
month uses the delays of the newest month before it; a request uses those of the artifact's newest month. So the feature
never uses anything that was unknown at request time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.features import (
    DELAY_FEATURES,
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    WITHIN_ZONE_MILES,
    FeatureTables,
    TripBatch,
    geometry,
    hour_of_week_kind,
    pair_features,
)
from logitrack_assets.months import Month

CURVE = (1.9348, 0.7276, 0.0196)
"""log(minutes) = a + b x + c x², x = log(straight miles + 0.4); least squares on yellow 2018 and 2019. A reference
only: the trees learn what it misses."""

SHRINKAGE_TRIPS = 30.0
"""Shrinkage constant: a cell with 30 trips is weighted 50/50 between its own mean and the pooled estimate (the month's
level plus the usual hourly profile)."""

CELLS = len(FLEETS) * HOURS_OF_WEEK_KINDS
"""Number of (fleet, hour_of_week_kind) cells."""


def month_numbers(moments: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the `Month.number` of each moment: months since January 1970."""
    return moments.astype("datetime64[M]").astype(np.int64)


@cache
def curve_log_minutes() -> NDArray[np.float64]:
    """Return the curve's log(minutes) by pickup and drop-off zone, float64 (ZONES, ZONES); NaN in row and column 0."""
    x = np.log(geometry().straight_miles + float(WITHIN_ZONE_MILES))
    minutes: NDArray[np.float64] = CURVE[0] + CURVE[1] * x + CURVE[2] * x * x
    return minutes


def delay_cells(trips: TripBatch) -> NDArray[np.int64]:
    """Return each trip's index into the flattened (fleet, hour_of_week_kind) cells."""
    cells: NDArray[np.int64] = trips.fleet.astype(np.int64) * HOURS_OF_WEEK_KINDS + hour_of_week_kind(trips.pickup_at)
    return cells


@dataclass(frozen=True)
class Delays:
    """Sums of delays by month, fleet and hour.

    Attributes:
        months: int64 (m,), ascending `Month.number` of the months that have trips.
        trips: float64 (m, len(FLEETS), HOURS_OF_WEEK_KINDS), number of trips.
        delay_sum: float64 (m, len(FLEETS), HOURS_OF_WEEK_KINDS), sum of delays (log minutes).
    """

    months: NDArray[np.int64]
    trips: NDArray[np.float64]
    delay_sum: NDArray[np.float64]

    @classmethod
    def from_sums(cls, sums: Mapping[int, NDArray[np.float64]]) -> Delays:
        """Return delays from the results of `sum_delays`, added up over batches."""
        months = sorted(sums)
        stacked = np.array([sums[month] for month in months], dtype=np.float64)
        by_cell = stacked.reshape(len(months), len(FLEETS), HOURS_OF_WEEK_KINDS, 2)
        return cls(np.array(months, dtype=np.int64), by_cell[..., 0], by_cell[..., 1])

    def before(self, month: Month) -> FeatureTables:
        """Return the tables for trips of `month`: the delays of the newest month before it.

        The first month has none before it and uses its own. A fleet without trips uses those of the busiest fleet.
        """
        earlier = int(np.searchsorted(self.months, month.number)) - 1
        return self._tables(max(earlier, 0))

    def _tables(self, index: int) -> FeatureTables:
        delay = np.zeros((len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), dtype=np.float32)
        for fleet in range(len(FLEETS)):
            newest = self._newest_with_trips(fleet, index)
            source = fleet
            if newest is None:
                source = int(np.argmax(self.trips[: index + 1].sum(axis=(0, 2))))
                newest = self._newest_with_trips(source, index) or 0
            delay[fleet, :, 0], delay[fleet, :, 1] = self._month(newest, source, through=index)
        return FeatureTables(pair_features(), delay)

    def _newest_with_trips(self, fleet: int, through: int) -> int | None:
        """Return the index of the fleet's newest month with trips, up to `through`."""
        indices = np.flatnonzero(self.trips[: through + 1, fleet].sum(axis=1))
        return int(indices[-1]) if len(indices) else None

    def _month(self, index: int, fleet: int, *, through: int) -> tuple[NDArray[np.float64], float]:
        """Return a fleet's shrunk delay by hour, float64 (HOURS_OF_WEEK_KINDS,), and its mean delay in a month.

        Args:
            index: The month.
            fleet: Code of the fleet.
            through: The newest month that the usual hourly profile may use.
        """
        trips, total = self.trips[index, fleet], self.delay_sum[index, fleet]
        level = float(total.sum() / max(trips.sum(), 1.0))
        past_trips = self.trips[: through + 1, fleet].sum(axis=0)
        past_total = self.delay_sum[: through + 1, fleet].sum(axis=0)
        past_level = self.delay_sum[: through + 1, fleet].sum() / max(past_trips.sum(), 1.0)
        profile = (past_total + SHRINKAGE_TRIPS * past_level) / (past_trips + SHRINKAGE_TRIPS)
        usual = level + profile - past_level
        return (total + SHRINKAGE_TRIPS * usual) / (trips + SHRINKAGE_TRIPS), level


def without_delays() -> FeatureTables:
    """Return the tables for strategies without recent delays: every delay is 0."""
    return FeatureTables(
        pair_features(), np.zeros((len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), dtype=np.float32)
    )


def sum_delays(trips: TripBatch, minutes: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """Return the number of trips and the sum of their delays by `Month.number`, float64 (CELLS, 2) each."""
    delay = np.log(minutes) - curve_log_minutes()[trips.pickup_zone, trips.dropoff_zone]
    cells, months = delay_cells(trips), month_numbers(trips.pickup_at)
    sums = {}
    for month in np.unique(months):
        rows = months == month
        counts = np.bincount(cells[rows], minlength=CELLS)
        totals = np.bincount(cells[rows], weights=delay[rows], minlength=CELLS)
        sums[int(month)] = np.stack([counts, totals], axis=1).astype(np.float64)
    return sums
