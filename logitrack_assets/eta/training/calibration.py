"""Conformal calibration: residuals of months after the training rows, and their quantiles by group.

Split conformal prediction by group (Mondrian; Vovk, Gammerman, Shafer 2005, ch. 4) on the signed log ratio of real to
predicted minutes, with separate tails because long delays are more frequent than early arrivals. The groups are known
at request time: distance known, fleet, airport, hour, predicted length. MAPIE and crepes calibrate one level of one
estimator object at a time; serving needs a table of quantiles by group only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import GROUP_SHAPE, MAX_LEVEL, Intervals, interval_groups
from logitrack_assets.eta.features import TripBatch

PROBABILITIES = np.round(np.concatenate([[0.005, 0.01, 0.025], np.arange(0.05, 0.951, 0.025), [0.975, 0.99, 0.995]]), 4)
MIN_GROUP_TRIPS = 300
"""Trips that a group needs for quantiles of its own; with fewer it uses those of a wider group. At 300 the standard
error of a 10% tail's probability is 1.7 points."""

# Parts of a group that are kept as it is widened, in order: distance known, fleet, airport, hour, length.
_WIDENING = (
    (True, True, True, True, True),
    (True, True, False, True, True),
    (True, True, True, False, True),
    (True, True, False, False, True),
    (True, False, False, False, True),
    (True, False, False, False, False),
    (False, False, False, False, False),
)

if PROBABILITIES[0] > (1 - MAX_LEVEL) / 2:
    raise RuntimeError("the stored probabilities do not span the highest interval level")


@dataclass(frozen=True)
class Residuals:
    """Residuals of trips of months after the training rows.

    Attributes:
        log_ratio: float64, log(real / predicted minutes).
        group: int64, interval group of each trip.
    """

    log_ratio: NDArray[np.float64]
    group: NDArray[np.int64]

    @classmethod
    def from_predictions(cls, trips: TripBatch, predicted: NDArray[np.float64], real: NDArray[np.float64]) -> Residuals:
        """Return the residuals of predictions, minutes."""
        return cls(np.log(real / predicted), interval_groups(trips, predicted))

    @classmethod
    def joined(cls, parts: Sequence[Residuals]) -> Residuals:
        """Return several sets of residuals as one."""
        return cls(np.concatenate([part.log_ratio for part in parts]), np.concatenate([part.group for part in parts]))

    def without_groups(self, groups: NDArray[np.bool_]) -> Residuals:
        """Return the residuals of the groups that are not marked; `groups` is bool over the flattened groups."""
        rows = ~groups[self.group]
        return Residuals(self.log_ratio[rows], self.group[rows])

    def scaled(self, factor: float) -> Residuals:
        """Return the residuals multiplied by a factor."""
        return Residuals(self.log_ratio * factor, self.group)


def calibrate(residuals: Residuals) -> Intervals:
    """Return quantiles by group; a group with fewer than MIN_GROUP_TRIPS trips is pooled with ever wider groups.

    Raises:
        ValueError: There are no residuals.
    """
    if len(residuals.log_ratio) == 0:
        raise ValueError("intervals need trips of months after the training rows")
    groups = int(np.prod(GROUP_SHAPE))
    parts = np.stack(np.unravel_index(np.arange(groups), GROUP_SHAPE))
    row_of_group = np.full(groups, -1, dtype=np.int64)
    rows: list[NDArray[np.float64]] = []
    for keep in _WIDENING:
        # Only groups still without quantiles are pooled: groups that have their own would distort the pool.
        wide_of_group = np.ravel_multi_index(tuple(parts * np.array(keep)[:, None]), GROUP_SHAPE)
        left = row_of_group[residuals.group] < 0
        if not left.any():
            break
        for wide, values in _grouped(residuals.log_ratio[left], wide_of_group[residuals.group[left]]):
            if len(values) >= MIN_GROUP_TRIPS:
                row_of_group[(wide_of_group == wide) & (row_of_group < 0)] = len(rows)
                rows.append(_conformal_quantiles(values))
    if (row_of_group < 0).any():
        row_of_group[row_of_group < 0] = len(rows)
        rows.append(_conformal_quantiles(residuals.log_ratio))
    return Intervals(PROBABILITIES, row_of_group, np.stack(rows))


def _grouped(values: NDArray[np.float64], groups: NDArray[np.int64]) -> list[tuple[np.int64, NDArray[np.float64]]]:
    """Return each group that occurs, ascending, with its values."""
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    return list(zip(names, np.split(values[order], starts[1:]), strict=True))


def _conformal_quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return empirical quantiles with the (n + 1) correction of conformal prediction, outward on both sides."""
    ordered, n = np.sort(values), len(values)
    low = PROBABILITIES <= 0.5
    rank = np.where(low, np.floor(PROBABILITIES * (n + 1)) - 1, np.ceil(PROBABILITIES * (n + 1)) - 1)
    quantiles: NDArray[np.float64] = ordered[np.clip(rank, 0, n - 1).astype(np.int64)]
    return quantiles
