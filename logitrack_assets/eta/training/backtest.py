"""Rolling backtest: selects the training strategy by predicting several months from the months before each.

Folds run on a bounded sample of the trips, each on one core, spread over Spark: the cost does not grow with the size of
the months, and a fold's trees depend on the seed and its rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from logitrack_assets.eta.artifact import RegressionMetrics, to_minutes
from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.evaluation.metrics import regression_metrics
from logitrack_assets.eta.features import feature_matrix
from logitrack_assets.eta.traffic import Delays
from logitrack_assets.eta.training.context import TrainingContext, serving_tables
from logitrack_assets.eta.training.strategy import BACKTEST, TrainingStrategy, TreeParameters
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month

MAX_FIT_ROWS, MAX_TEST_ROWS = 60_000, 30_000
"""Limits of one fold: seconds on one core. More rows improve every strategy without changing their ranking."""
FOLD_DECAY = 0.25
"""Weight of a fold relative to the next newer one: the newest month predicts the next best."""
MAX_ERROR_RATIO = 1.25
"""Cap of a fold's error relative to the best: a strategy's error in the month of a traffic change does not predict its
error once it has been trained on the change."""
STABILITY_MARGIN = 0.02
"""Share by which a more responsive strategy must be better than a more stable one; two months of the same traffic
differ by as much."""


class FoldJob(NamedTuple):
    """A fold to run."""

    strategy: TrainingStrategy
    month: Month
    variant: Variant


@dataclass(frozen=True)
class Fold:
    """Predictions for a month by a strategy that was trained on the months before it.

    Attributes:
        strategy: The strategy.
        month: The predicted month.
        variant: The variant of the model.
        trained_on: Number of training rows.
        row: int64, hashes of the predicted trips.
        predicted: float64, predicted minutes.
        errors: Errors of the predictions.
    """

    strategy: TrainingStrategy
    month: Month
    variant: Variant
    trained_on: int
    row: NDArray[np.int64]
    predicted: NDArray[np.float64]
    errors: RegressionMetrics


@dataclass(frozen=True)
class Backtest:
    """All folds and the selected strategy.

    Attributes:
        folds: Zones-only folds of all strategies, and folds with distance of the selected one.
        chosen: The selected strategy.
        months: The predicted months, ascending.
    """

    folds: list[Fold]
    chosen: TrainingStrategy
    months: list[Month]

    def chosen_fold(self, month: Month, variant: Variant) -> Fold | None:
        """Return the selected strategy's fold of a month; None for a month without distances."""
        key = FoldJob(self.chosen, month, variant)
        return next((fold for fold in self.folds if (fold.strategy, fold.month, fold.variant) == key), None)

    def table(self) -> list[dict[str, str | int | float | bool]]:
        """Return a row per fold, as the manifest and the model card show it."""
        return [
            {
                "recipe": fold.strategy.name,
                "month": str(fold.month),
                "distance": fold.variant is Variant.DISTANCE,
                "trained_on": fold.trained_on,
                "tested_on": fold.errors.trips,
                "mae_minutes": round(fold.errors.mae_minutes, 3),
                "rmse_minutes": round(fold.errors.rmse_minutes, 3),
                "chosen": fold.strategy == self.chosen,
            }
            for fold in self.folds
        ]


def run_backtest(
    session: SparkSession,
    sample: TripDataset,
    delays: Delays,
    strategies: Sequence[TrainingStrategy],
    months: Sequence[Month],
    *,
    seed: int,
) -> Backtest:
    """Run every strategy on every month with zones only, select one, and run that one with distance too.

    A month without distances has no fold with distance. A single strategy needs no selection, but intervals are
    calibrated on its folds.
    """
    parameters = replace(BACKTEST, seed=seed)
    zones = [FoldJob(strategy, month, Variant.ZONES) for strategy in strategies for month in months]
    folds = _run_folds(session, sample, delays, zones, parameters)
    chosen = best_strategy(strategies, folds, months)
    with_distance = np.unique(sample.month[Variant.DISTANCE.mask(sample.batch)])
    distance = [FoldJob(chosen, month, Variant.DISTANCE) for month in months if month.number in with_distance]
    folds += _run_folds(session, sample, delays, distance, parameters)
    return Backtest(folds, chosen, list(months))


def best_strategy(
    strategies: Sequence[TrainingStrategy], folds: Sequence[Fold], months: Sequence[Month]
) -> TrainingStrategy:
    """Return the first strategy, from the most stable, whose score is within STABILITY_MARGIN of the best.

    The score is the weighted mean over months of a strategy's error relative to the smallest error of that month.
    """
    error = {(fold.strategy, fold.month): fold.errors.mae_minutes for fold in folds if fold.variant is Variant.ZONES}
    newest_first = sorted(months, reverse=True)

    def score(strategy: TrainingStrategy) -> float:
        total = weights = 0.0
        for age, month in enumerate(newest_first):
            best = min(error[other, month] for other in strategies)
            weight = FOLD_DECAY**age
            total += weight * min(error[strategy, month] / best, MAX_ERROR_RATIO)
            weights += weight
        return total / weights

    scores = {strategy: score(strategy) for strategy in strategies}
    best = min(scores.values())
    return next(strategy for strategy in strategies if scores[strategy] <= best * (1 + STABILITY_MARGIN))


def _run_folds(
    session: SparkSession,
    sample: TripDataset,
    delays: Delays,
    jobs: Sequence[FoldJob],
    parameters: TreeParameters,
) -> list[Fold]:
    """Run folds as Spark tasks, one each."""
    if not jobs:
        return []
    context = session.sparkContext
    shared = context.broadcast((sample, delays))

    def run(job: FoldJob) -> Fold:
        rows, traffic = shared.value
        return run_fold(rows, traffic, job, parameters)

    try:
        return context.parallelize(jobs, len(jobs)).map(run).collect()
    finally:
        shared.unpersist()


def run_fold(sample: TripDataset, delays: Delays, job: FoldJob, parameters: TreeParameters) -> Fold:
    """Train on the sample's months before the job's month and predict that month, on one core."""
    import xgboost

    strategy, month, variant = job
    months, usable = sample.month, variant.mask(sample.batch)
    earlier = months < month.number
    window = strategy.months([Month(int(number)) for number in np.unique(months[earlier])])
    # The limit applies to all earlier rows before the window does: a short window must have fewer rows here too, as it
    # will when the model is trained.
    rows = _evenly_spaced(np.flatnonzero(usable & earlier), MAX_FIT_ROWS)
    past = sample.take(rows[np.isin(months[rows], [month.number for month in window])])
    tested = sample.take(_evenly_spaced(np.flatnonzero(usable & (months == month.number)), MAX_TEST_ROWS))
    context = TrainingContext.from_strategy(strategy, delays, window)
    matrix, target = context.matrix(past, variant)
    booster = xgboost.train(
        {**parameters.xgboost(), "nthread": 1},
        xgboost.DMatrix(matrix, target, weight=context.row_weights(past), nthread=1),
        parameters.trees,
    )
    tables = serving_tables(strategy, delays, month.previous)
    tested_matrix = feature_matrix(variant.inputs(tested.batch), tables)
    predicted = to_minutes(booster.predict(xgboost.DMatrix(tested_matrix, nthread=1)).astype(np.float64))
    errors = regression_metrics(predicted, tested.minutes)
    return Fold(strategy, month, variant, len(past), tested.row, predicted, errors)


def _evenly_spaced(rows: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
