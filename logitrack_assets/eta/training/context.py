"""What a training strategy adds to the rows: feature tables and weights by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.features import FEATURES, FeatureTables, feature_matrix
from logitrack_assets.eta.traffic import Delays, without_delays
from logitrack_assets.eta.training.strategy import TrainingStrategy
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month


@dataclass(frozen=True)
class TrainingContext:
    """Feature tables and weights of training rows by month.

    Attributes:
        tables: Lookup tables of the features; what was known before the month.
        weights: Weight of a row.
    """

    tables: dict[Month, FeatureTables]
    weights: dict[Month, float]

    @classmethod
    def from_strategy(cls, strategy: TrainingStrategy, delays: Delays, months: Sequence[Month]) -> TrainingContext:
        """Return the context of a strategy's window of months."""
        if strategy.recent:
            tables = {month: delays.before(month) for month in months}
        else:
            tables = dict.fromkeys(months, without_delays())
        return cls(tables, strategy.weights(months))

    def row_weights(self, trips: TripDataset) -> NDArray[np.float64]:
        """Return the weight of each row, float64 (len(trips),)."""
        numbers, inverse = np.unique(trips.month, return_inverse=True)
        return np.array([self.weights[Month(int(number))] for number in numbers])[inverse]

    def matrix(self, trips: TripDataset, variant: Variant) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the features, float32 (rows, len(FEATURES)), and the target, float64 log(minutes), of training rows.

        Each row uses the tables of its own month. For the zones-only variant the distance columns are blank, as they
        are for requests without a distance.
        """
        months = trips.month
        batch = variant.inputs(trips.batch)
        matrix = np.empty((len(trips), len(FEATURES)), dtype=np.float32)
        for number in np.unique(months):
            rows = months == number
            matrix[rows] = feature_matrix(batch.take(rows), self.tables[Month(int(number))])
        return matrix, np.log(trips.minutes)


def serving_tables(strategy: TrainingStrategy, delays: Delays, through: Month) -> FeatureTables:
    """Return the feature tables of requests after training through a month."""
    return delays.before(through.next) if strategy.recent else without_delays()
