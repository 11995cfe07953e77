"""Conformal intervals: how far real durations were from answers, on months that the trees had not seen.

Split conformal prediction by group (Mondrian; Vovk, Gammerman, Shafer 2005, ch. 4) on the signed log ratio of real
to predicted minutes, with both tails apart because long delays are commoner than early arrivals. A group is what is
known when one asks: distance known, fleet, airport, hour, predicted length. MAPIE and crepes do the same for one
level at a time and per estimator object; a table of quantiles by group is what serving needs, and is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.predictor import GROUP_SHAPE, MAX_LEVEL, Intervals, interval_groups
from logitrack_assets.eta.features import TripBatch

PROBABILITIES = np.round(np.concatenate([[0.005, 0.01, 0.025], np.arange(0.05, 0.951, 0.025), [0.975, 0.99, 0.995]]), 4)
MIN_GROUP_TRIPS = 300
"""Trips for a group to have quantiles of its own; with fewer it takes those of a wider group. At 300 the standard
error of a 10% tail's probability is 1.7 points."""

# Which parts of a group are kept as it widens, in order: distance known, fleet, airport, hour, length.
_WIDENING = (
    (True, True, True, True, True),
    (True, True, False, True, True),
    (True, True, True, False, True),
    (True, True, False, False, True),
    (True, False, False, False, True),
    (True, False, False, False, False),
    (False, False, False, False, False),
)


@dataclass(frozen=True)
class Residuals:
    """log(real / predicted minutes) of trips of months after the training rows, and each trip's interval group."""

    log_ratio: NDArray[np.float64]
    group: NDArray[np.int64]

    @classmethod
    def from_predictions(cls, trips: TripBatch, predicted: NDArray[np.float64], real: NDArray[np.float64]) -> Residuals:
        return cls(np.log(real / predicted), interval_groups(trips, predicted))

    @classmethod
    def joined(cls, parts: list[Residuals]) -> Residuals:
        return cls(np.concatenate([part.log_ratio for part in parts]), np.concatenate([part.group for part in parts]))


def calibrate(residuals: Residuals) -> Intervals:
    """Compute quantiles by group; a group with fewer than MIN_GROUP_TRIPS trips is pooled with ever wider groups.

    Raises:
        ValueError: no residuals.
    """
    if len(residuals.log_ratio) == 0:
        raise ValueError("intervals need trips of months after the training rows")
    groups = int(np.prod(GROUP_SHAPE))
    parts = np.stack(np.unravel_index(np.arange(groups), GROUP_SHAPE))
    row_of_group = np.full(groups, -1, dtype=np.int64)
    rows: list[NDArray[np.float64]] = []
    for keep in _WIDENING:
        # Only groups that are still without quantiles are pooled: pooled with others they would inherit the doubt of
        # trips that are better known than theirs.
        wide_of_group = np.ravel_multi_index(tuple(parts * np.array(keep)[:, None]), GROUP_SHAPE)
        left = row_of_group[residuals.group] < 0
        if not left.any():
            break
        values, wide = residuals.log_ratio[left], wide_of_group[residuals.group[left]]
        order = np.argsort(wide, kind="stable")
        names, starts = np.unique(wide[order], return_index=True)
        for name, pooled in zip(names, np.split(values[order], starts[1:]), strict=True):
            if len(pooled) >= MIN_GROUP_TRIPS:
                row_of_group[(wide_of_group == name) & (row_of_group < 0)] = len(rows)
                rows.append(_quantiles(pooled))
    if (row_of_group < 0).any():
        row_of_group[row_of_group < 0] = len(rows)
        rows.append(_quantiles(residuals.log_ratio))
    return Intervals(PROBABILITIES, row_of_group, np.stack(rows))


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Empirical quantiles with the (n + 1) correction of conformal prediction, outward on both sides."""
    ordered, n = np.sort(values), len(values)
    low = PROBABILITIES <= 0.5
    rank = np.where(low, np.floor(PROBABILITIES * (n + 1)) - 1, np.ceil(PROBABILITIES * (n + 1)) - 1)
    return ordered[np.clip(rank, 0, n - 1).astype(np.int64)]


assert PROBABILITIES[0] <= (1 - MAX_LEVEL) / 2  # every level that may be asked for lies between stored ones
