"""Prediction intervals: levels, groups of trips, and quantiles of the residual by group."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.manifest import ArtifactError
from logitrack_assets.eta.features import FLEETS, TripBatch, is_airport_trip
from logitrack_assets.nyc_calendar import hour_of_day

MIN_LEVEL, MAX_LEVEL = 0.5, 0.99
DEFAULT_LEVEL = 0.8

HOUR_BANDS = (0, 6, 7, 9, 12, 15, 18, 20, 22)  # first hour of each band
LENGTH_BANDS = (0.0, 5.0, 8.0, 11.0, 15.0, 20.0, 28.0, 40.0)  # lower bound of each band, predicted minutes
GROUP_SHAPE = (2, len(FLEETS), 2, len(HOUR_BANDS), len(LENGTH_BANDS))
"""Sizes of the group's parts: distance known, fleet, airport, hour band, length band. All are known at request time."""

_HOUR_BAND = np.searchsorted(np.array(HOUR_BANDS), np.arange(24), side="right") - 1
_LENGTH_EDGES = np.array(LENGTH_BANDS[1:])
_PROBABILITY_TOLERANCE = 1e-9


def hour_bands(pickup_at: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the index into `HOUR_BANDS` of each pickup."""
    return _HOUR_BAND[hour_of_day(pickup_at)]


def length_bands(minutes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index into `LENGTH_BANDS` of each predicted duration."""
    return np.searchsorted(_LENGTH_EDGES, minutes, side="right")


def interval_groups(trips: TripBatch, minutes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each trip's index into the flattened groups of `GROUP_SHAPE`, given its predicted minutes."""
    _, fleets, airports, hours, lengths = GROUP_SHAPE
    group = trips.distance_known.astype(np.int64) * fleets + trips.fleet
    group = group * airports + is_airport_trip(trips)
    group = group * hours + hour_bands(trips.pickup_at)
    flattened: NDArray[np.int64] = group * lengths + length_bands(minutes)
    return flattened


@dataclass(frozen=True)
class Intervals:
    """Quantiles of log(real / predicted minutes) by group.

    Attributes:
        probabilities: float64 (p,), ascending, symmetric about 0.5.
        row_of_group: int64 (groups,), the row of `quantiles` that a group uses: its own, or that of the wider group
            that it was pooled with because it had few trips.
        quantiles: float64 (rows, p), ascending along p.
    """

    probabilities: NDArray[np.float64]
    row_of_group: NDArray[np.int64]
    quantiles: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write the quantiles as JSON, rounded to six decimals."""
        document = {
            "about": "quantiles of log(real / predicted minutes); row_of_group is indexed by distance known, "
            "fleet, airport, hour band, length band",
            "group_shape": GROUP_SHAPE,
            "hour_bands": HOUR_BANDS,
            "length_bands": LENGTH_BANDS,
            "probabilities": self.probabilities.tolist(),
            "row_of_group": self.row_of_group.tolist(),
            "quantiles": np.round(self.quantiles, 6).tolist(),
        }
        path.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the intervals of a JSON file.

        Raises:
            ArtifactError: The groups differ from this program's, or the arrays do not fit together.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        layout = tuple(tuple(document[name]) for name in ("group_shape", "hour_bands", "length_bands"))
        if layout != (GROUP_SHAPE, HOUR_BANDS, LENGTH_BANDS):
            raise ArtifactError(f"{path.name}: its groups differ from those of this program")
        probabilities = np.array(document["probabilities"], dtype=np.float64)
        rows = np.array(document["row_of_group"], dtype=np.int64)
        quantiles = np.array(document["quantiles"], dtype=np.float64)
        if quantiles.ndim != 2 or quantiles.shape[1] != len(probabilities) or not np.isfinite(quantiles).all():
            raise ArtifactError(f"{path.name}: its quantiles do not match its probabilities")
        if rows.shape != (int(np.prod(GROUP_SHAPE)),) or np.min(rows) < 0 or np.max(rows) >= len(quantiles):
            raise ArtifactError(f"{path.name}: a group has no quantiles")
        return cls(probabilities, rows, quantiles)

    def log_ratios(self, groups: NDArray[np.int64], probability: float) -> NDArray[np.float64]:
        """Return the quantile of log(real / predicted) at a probability for each group, float64 (len(groups),).

        Interpolates between stored probabilities; beyond them it uses the outermost.
        """
        stored = self.probabilities
        right = int(np.searchsorted(stored, probability - _PROBABILITY_TOLERANCE))
        if right in (0, len(stored)) or abs(stored[right] - probability) < _PROBABILITY_TOLERANCE:
            column = self.quantiles[:, min(right, len(stored) - 1)]
        else:
            share = (probability - stored[right - 1]) / (stored[right] - stored[right - 1])
            column = (1 - share) * self.quantiles[:, right - 1] + share * self.quantiles[:, right]
        return column[self.row_of_group[groups]]

    def factors(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the interval's ends as factors of the predicted minutes, float64 (groups,) each.

        The lower factor is at most 1 and the upper at least 1, so that the interval contains the prediction.
        """
        tail, groups = (1 - level) / 2, np.arange(len(self.row_of_group))
        low, high = np.exp(self.log_ratios(groups, tail)), np.exp(self.log_ratios(groups, 1 - tail))
        return np.minimum(low, 1.0), np.maximum(high, 1.0)

    def bounds(
        self, trips: TripBatch, minutes: NDArray[np.float64], level: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the interval's ends in minutes around predicted minutes, float64 (len(trips),) each."""
        groups = interval_groups(trips, minutes)
        low, high = self.factors(level)
        return minutes * low[groups], minutes * high[groups]
