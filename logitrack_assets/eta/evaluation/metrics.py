"""How good answers are: errors, coverage and widths, overall and by what is known when one asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.predictor import (
    HOUR_BANDS,
    LENGTH_BANDS,
    Intervals,
    RegressionMetrics,
    SliceMetrics,
    interval_groups,
)
from logitrack_assets.eta.features import AIRPORTS, FLEETS, TripBatch

MIN_SLICE_TRIPS = 1_000
"""Trips below which a slice's coverage is mostly noise: its standard error at 80% is then above 1.3 points."""


def errors(predicted: NDArray[np.float64], real: NDArray[np.float64]) -> RegressionMetrics:
    """MAE and RMSE in minutes, R², and mean absolute error as a share of the real duration.

    Raises:
        ValueError: no trips.
    """
    if len(real) == 0:
        raise ValueError("errors need trips")
    miss = predicted - real
    spread = float(np.sum((real - real.mean()) ** 2))
    return RegressionMetrics(
        trips=len(real),
        mae_minutes=float(np.mean(np.abs(miss))),
        rmse_minutes=float(np.sqrt(np.mean(miss**2))),
        r2=1 - float(np.sum(miss**2)) / spread if spread > 0 else 0.0,
        mape=float(np.mean(np.abs(miss) / real)),
    )


@dataclass(frozen=True)
class EvaluatedTrips:
    """Real trips with answers that never saw them. Minutes throughout; low and high at one level."""

    trips: TripBatch
    real: NDArray[np.float64]
    predicted: NDArray[np.float64]
    lookup: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        return (self.low <= self.real) & (self.real <= self.high)


def interval_bounds(
    trips: TripBatch, predicted: NDArray[np.float64], intervals: Intervals, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high minutes around predictions."""
    groups = interval_groups(trips, predicted)
    low_share, high_share = intervals.shares(level)
    return predicted * low_share[groups], predicted * high_share[groups]


def slices(judged: EvaluatedTrips, *, distance_known: bool) -> list[SliceMetrics]:
    """Errors, coverage and width by predicted length, hour, airport and fleet; parts that are empty are left out."""
    hour = judged.trips.pickup_at.astype(np.int64) % 86400 // 3600
    airport = np.isin(judged.trips.pickup_zone, AIRPORTS) | np.isin(judged.trips.dropoff_zone, AIRPORTS)
    length = np.searchsorted(np.array(LENGTH_BANDS[1:]), judged.predicted, side="right")
    hour_band = np.searchsorted(np.array(HOUR_BANDS), hour, side="right") - 1
    ends = [*(f"{int(end)}" for end in LENGTH_BANDS[1:]), "180"]
    parts: list[tuple[str, str, NDArray[np.bool_]]] = [
        ("predicted minutes", f"{int(LENGTH_BANDS[band])} to {ends[band]}", length == band)
        for band in range(len(LENGTH_BANDS))
    ]
    hour_ends = [*HOUR_BANDS[1:], 24]
    parts += [
        ("hour", f"{HOUR_BANDS[band]:02d} to {hour_ends[band]:02d}", hour_band == band)
        for band in range(len(HOUR_BANDS))
    ]
    parts += [("airport", "yes", airport), ("airport", "no", ~airport)]
    parts += [("fleet", name, judged.trips.fleet == code) for code, name in enumerate(FLEETS)]
    miss = np.abs(judged.predicted - judged.real)
    lookup_miss, width = np.abs(judged.lookup - judged.real), judged.high - judged.low
    return [
        SliceMetrics(
            by=by,
            value=value,
            distance_known=distance_known,
            trips=int(rows.sum()),
            mae_minutes=float(miss[rows].mean()),
            lookup_mae_minutes=float(lookup_miss[rows].mean()),
            coverage=float(judged.covered[rows].mean()),
            width_minutes=float(width[rows].mean()),
        )
        for by, value, rows in parts
        if rows.any()
    ]


@dataclass(frozen=True)
class Comparison:
    """Mean of paired differences in absolute error, new minus old minutes, with a confidence interval."""

    trips: int
    new_mae_minutes: float
    old_mae_minutes: float
    difference: float
    low: float
    high: float


def compare(
    new: NDArray[np.float64], old: NDArray[np.float64], real: NDArray[np.float64], *, seed: int, draws: int = 1000
) -> Comparison:
    """Paired bootstrap (Efron 1979) of the difference in absolute error on the same trips; 95% interval.

    Draws Poisson weights in blocks, so that memory does not grow with the draws.
    """
    new_miss, old_miss = np.abs(new - real), np.abs(old - real)
    gap = new_miss - old_miss
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        weights = random.poisson(1.0, len(gap))
        means[draw] = weights @ gap / max(int(weights.sum()), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Comparison(
        len(real), float(new_miss.mean()), float(old_miss.mean()), float(gap.mean()), float(low), float(high)
    )
