"""Which recipe to use, decided as it will be used: train on the months before M, answer M, for several M.

The folds run on a bounded sample of the trips, each fit on one core of its own, spread over Spark: the cost does
not grow with the months' size, and a fold's trees depend on the seed and its rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from logitrack_assets.eta.evaluation.metrics import RegressionMetrics, errors
from logitrack_assets.eta.traffic import Delays, month_name
from logitrack_assets.eta.training.fitting import TrainingContext, TripDataset, features_of, serving_tables, to_minutes
from logitrack_assets.eta.training.strategy import BACKTEST, TrainingStrategy, TreeParameters

MAX_FIT_ROWS, MAX_TEST_ROWS = 60_000, 30_000
"""Bounds of one fold's fit: seconds on one core; more rows bring every recipe closer to its best, not past others."""


@dataclass(frozen=True)
class Fold:
    """What a recipe, trained on months before `month`, answered for that month.

    row: int64, hashes of the trips; predicted: float64 minutes.
    """

    recipe: TrainingStrategy
    month: int
    with_distance: bool
    trained_on: int
    row: NDArray[np.int64]
    predicted: NDArray[np.float64]
    errors: RegressionMetrics


@dataclass(frozen=True)
class Backtest:
    """All folds, and the recipe that `choose` took from them."""

    folds: list[Fold]
    chosen: TrainingStrategy
    months: list[int]

    def chosen_fold(self, month: int, *, with_distance: bool) -> Fold:
        return next(
            fold
            for fold in self.folds
            if fold.recipe == self.chosen and fold.month == month and fold.with_distance == with_distance
        )

    def table(self) -> list[dict[str, str | int | float | bool]]:
        """A row a fold, for people."""
        return [
            {
                "recipe": fold.recipe.name,
                "month": month_name(fold.month),
                "distance": fold.with_distance,
                "trained_on": fold.trained_on,
                "tested_on": fold.errors.trips,
                "mae_minutes": round(fold.errors.mae_minutes, 3),
                "rmse_minutes": round(fold.errors.rmse_minutes, 3),
                "chosen": fold.recipe == self.chosen,
            }
            for fold in self.folds
        ]


def run_fold(
    sample: TripDataset,
    delays: Delays,
    recipe: TrainingStrategy,
    month: int,
    *,
    with_distance: bool,
    forest: TreeParameters,
) -> Fold:
    """Trains a recipe on the sample's months before `month` and answers that month, on one core."""
    import xgboost

    months = sample.month
    window = recipe.months(sorted(int(m) for m in np.unique(months[months < month])))
    usable = ~np.isnan(sample.batch.distance_miles) if with_distance else np.ones(len(sample), dtype=bool)
    # The bound is on all past rows, before the window: a short window must pay for its fewer rows here as it will
    # when the model is trained.
    bounded = _evenly(np.flatnonzero(usable & (months < month)), MAX_FIT_ROWS)
    past = sample.take(bounded[np.isin(months[bounded], window)])
    asked = sample.take(_evenly(np.flatnonzero(usable & (months == month)), MAX_TEST_ROWS))
    lessons = TrainingContext.from_strategy(recipe, delays, window)
    matrix, target = features_of(past, lessons.tables, with_distance=with_distance)
    booster = xgboost.train(
        {**forest.xgboost(), "nthread": 1},
        xgboost.DMatrix(matrix, target, weight=lessons.weights_of(past), nthread=1),
        forest.trees,
    )
    serving = {month: serving_tables(recipe, delays, month - 1)}
    asked_matrix, _ = features_of(asked, serving, with_distance=with_distance)
    predicted = to_minutes(booster.predict(xgboost.DMatrix(asked_matrix, nthread=1)).astype(np.float64))
    return Fold(recipe, month, with_distance, len(past), asked.row, predicted, errors(predicted, asked.minutes))


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def backtest(
    session: SparkSession,
    sample: TripDataset,
    delays: Delays,
    recipes: list[TrainingStrategy],
    months: list[int],
    *,
    seed: int,
    forest: TreeParameters = BACKTEST,
) -> Backtest:
    """Runs every recipe on every month for zones alone, chooses one, and runs the chosen one with distances
    too. A month whose trips carry no distance is left out of the latter.

    With a single recipe nothing is chosen, but its folds are still what intervals are calibrated on.
    """
    forest = replace(forest, seed=seed)
    zones = [(recipe, month, False) for recipe in recipes for month in months]
    folds = _spread(session, sample, delays, zones, forest)
    chosen = choose(recipes, folds, months)
    known = {month: bool((~np.isnan(sample.batch.distance_miles[sample.month == month])).any()) for month in months}
    distance = [(chosen, month, True) for month in months if known[month]]
    folds += _spread(session, sample, delays, distance, forest)
    return Backtest(folds, chosen, months)


FOLD_DECAY = 0.25
"""Each fold counts a quarter of the next newer one: what worked last month says most about the next."""
MAX_ERROR_RATIO = 1.25
"""A fold lost by more than this factor counts as this much: how badly a recipe did when traffic changed says nothing
about how it does once it has learned the change."""
STABILITY_MARGIN = 0.02
"""A quicker recipe must be better by this share than a steadier one, or it is taken for luck: two months of the same
traffic differ by as much."""


def choose(recipes: list[TrainingStrategy], folds: list[Fold], months: list[int]) -> TrainingStrategy:
    """The first of the recipes, from the steadiest to the quickest, whose score is within STABILITY_MARGIN of the best.

    The score is the weighted mean over months of a recipe's error on a month, as a factor of the smallest there.
    """
    error = {(fold.recipe, fold.month): fold.errors.mae_minutes for fold in folds if not fold.with_distance}
    newest_first = sorted(months, reverse=True)

    def score(recipe: TrainingStrategy) -> float:
        total = weights = 0.0
        for age, month in enumerate(newest_first):
            best = min(error[other, month] for other in recipes)
            weight = FOLD_DECAY**age
            total += weight * min(error[recipe, month] / best, MAX_ERROR_RATIO)
            weights += weight
        return total / weights

    scores = {recipe: score(recipe) for recipe in recipes}
    best = min(scores.values())
    return next(recipe for recipe in recipes if scores[recipe] <= best * (1 + STABILITY_MARGIN))


def _spread(
    session: SparkSession,
    sample: TripDataset,
    delays: Delays,
    jobs: list[tuple[TrainingStrategy, int, bool]],
    forest: TreeParameters,
) -> list[Fold]:
    if not jobs:
        return []
    context = session.sparkContext
    shared = context.broadcast((sample, delays))

    def run(job: tuple[TrainingStrategy, int, bool]) -> Fold:
        recipe, month, with_distance = job
        rows, slowness = shared.value
        return run_fold(rows, slowness, recipe, month, with_distance=with_distance, forest=forest)

    try:
        return context.parallelize(jobs, len(jobs)).map(run).collect()
    finally:
        shared.unpersist()
