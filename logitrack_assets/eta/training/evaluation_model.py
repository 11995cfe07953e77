"""The evaluation model: the selected strategy trained through the month before the newest, which it then predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from logitrack_assets.eta.artifact import DEFAULT_LEVEL, Intervals, to_minutes
from logitrack_assets.eta.dataset import TripDataset, collect_sample, in_months
from logitrack_assets.eta.evaluation.baseline import baseline_minutes
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.traffic import Delays
from logitrack_assets.eta.training.calibration import Residuals
from logitrack_assets.eta.training.context import TrainingContext, serving_tables
from logitrack_assets.eta.training.feature_rows import spark_features
from logitrack_assets.eta.training.fitting import FittedModel, fit_variants
from logitrack_assets.eta.training.strategy import TrainingOptions, TrainingStrategy, TreeParameters
from logitrack_assets.eta.training.training_data import MIN_EVALUATION_TRIPS, TrainingData, TrainingError
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month

MAX_EVALUATION_TRIPS = 60_000
"""Trips of the newest month that are predicted; the standard error of their MAE is below 0.6%."""


@dataclass(frozen=True)
class Evaluation:
    """Trips of the newest month with the predictions of the evaluation model and the baseline.

    Attributes:
        trips: The trips.
        predicted: float64, minutes of the evaluation model by variant. Those of the variant with distance are
            meaningless where the trip's distance is unknown.
        lookup: float64, minutes of the baseline.
    """

    trips: TripDataset
    predicted: dict[Variant, NDArray[np.float64]]
    lookup: NDArray[np.float64]

    def take(self, rows: slice) -> Evaluation:
        """Return the selected rows."""
        predicted = {variant: minutes[rows] for variant, minutes in self.predicted.items()}
        return Evaluation(self.trips.take(rows), predicted, self.lookup[rows])

    def residuals(self) -> Residuals:
        """Return the residuals of both variants."""
        batch, real = self.trips.batch, self.trips.minutes
        parts = []
        for variant, minutes in self.predicted.items():
            rows = variant.mask(batch)
            trips = variant.inputs(batch).take(rows)
            parts.append(Residuals.from_predictions(trips, minutes[rows], real[rows]))
        return Residuals.joined(parts)

    def with_intervals(self, intervals: Intervals, variant: Variant) -> EvaluatedTrips:
        """Return the trips that a variant applies to, with intervals of the default level."""
        rows = variant.mask(self.trips.batch)
        trips, predicted = variant.inputs(self.trips.batch).take(rows), self.predicted[variant][rows]
        low, high = intervals.bounds(trips, predicted, DEFAULT_LEVEL)
        return EvaluatedTrips(trips, self.trips.minutes[rows], predicted, self.lookup[rows], low, high)


def evaluate_strategy(data: TrainingData, strategy: TrainingStrategy, options: TrainingOptions) -> Evaluation:
    """Train a strategy through the month before the newest, and predict a sample of the newest month.

    Raises:
        TrainingError: Too few trips of the newest month have a distance.
    """
    models = fit_strategy(data.trips, strategy, data.past, data.counts.delays, options.parameters)
    frame = data.newest_trips()
    total = data.counts.trips_in_month(data.newest)
    sample = collect_sample(frame, rows=MAX_EVALUATION_TRIPS, total=total, seed=options.seed)
    if sample.batch.distance_known.sum() < MIN_EVALUATION_TRIPS:
        raise TrainingError(
            f"Too few trips of {data.newest} have a distance to evaluate the variant that uses it; "
            f"at least {MIN_EVALUATION_TRIPS:,} are needed."
        )
    tables = serving_tables(strategy, data.counts.delays, data.past[-1])
    predicted = predict_variants(models, spark_features(frame, sample, tables))
    return Evaluation(sample, predicted, baseline_minutes(data.trips, data.past, sample.batch))


def fit_strategy(
    trips: DataFrame, strategy: TrainingStrategy, months: Sequence[Month], delays: Delays, parameters: TreeParameters
) -> dict[Variant, FittedModel]:
    """Train both variants on a strategy's window of the months."""
    window = strategy.months(months)
    return fit_variants(in_months(trips, window), TrainingContext.from_strategy(strategy, delays, window), parameters)


def predict_variants(
    models: Mapping[Variant, FittedModel], matrix: NDArray[np.float32]
) -> dict[Variant, NDArray[np.float64]]:
    """Return the minutes of each variant for rows of a feature matrix, by the estimators' own prediction."""
    return {variant: to_minutes(model.score(matrix)) for variant, model in models.items()}
