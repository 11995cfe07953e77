"""Recipes for an ETA: those that are public, each in a few lines, and the platform's own.

A recipe learns from past trips and returns a function that answers questions. To measure another one, write a function
with the signature of `Recipe` and name it to the yardstick as `module:function`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.features import FEATURES, ZONES, TripBatch, feature_matrix
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.training.pipeline import train_candidate
from logitrack_assets.eta.training.strategy import TrainingOptions
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake
from logitrack_assets.nyc_calendar import hour_of_day
from logitrack_tests.benchmarks.spark_session import benchmark_session

LEVEL = 0.8
"""Share of the trips that every interval should cover."""

_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_PUBLIC_FEATURES = (
    "pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon", "pickup_borough", "dropoff_borough", "minute_of_day",
    "weekday", "is_holiday",
)  # fmt: skip
_CATEGORIES = ("pickup_borough", "dropoff_borough", "weekday")


@dataclass(frozen=True)
class Past:
    """What a recipe may learn from.

    Attributes:
        trips: Finished trips, a sample where there are many.
        lake: A lake with all trips of the past months and no later one, for recipes that read it themselves.
        variant: Whether the planned distance may be used.
    """

    trips: TripDataset
    lake: Lake
    variant: Variant


@dataclass(frozen=True)
class Forecast:
    """Answers, float64 (trips,), in minutes: the estimate and the ends of the interval of `LEVEL`."""

    minutes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


Answer = Callable[[TripBatch], Forecast]
Recipe = Callable[[Past], Answer]
Estimator = Callable[[TripBatch], NDArray[np.float64]]
"""Returns minutes, float64 (trips,)."""


def pair_hour_median(past: Past) -> Answer:
    """The median, and the 10% and 90% quantiles, of the zone pair at that hour; of all trips where there are none."""
    trips = past.trips
    key = _pair_and_hour(trips.batch)
    order = np.argsort(key, kind="stable")
    keys, starts = np.unique(key[order], return_index=True)
    groups = np.split(trips.minutes[order], starts[1:])
    quantiles = np.array([np.quantile(group, [0.5, *_TAILS]) for group in groups])
    overall = np.quantile(trips.minutes, [0.5, *_TAILS])

    def answer(asked: TripBatch) -> Forecast:
        wanted = _pair_and_hour(asked)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        rows = np.where((keys[place] == wanted)[:, None], quantiles[place], overall)
        return Forecast(*rows.T)

    return answer


def linear_regression(past: Past) -> Answer:
    """Least squares on the public features, the hour as categories: the usual first notebook."""

    def fit(trips: TripDataset) -> Estimator:
        def matrix(batch: TripBatch) -> NDArray[np.float32]:
            hours = np.eye(24, dtype=np.float32)[hour_of_day(batch.pickup_at)]
            return np.hstack([_columns(batch, (*_PUBLIC_FEATURES, "straight_miles", *_distance(past))), hours])

        model = LinearRegression().fit(matrix(trips.batch), trips.minutes)
        return lambda asked: np.maximum(model.predict(matrix(asked)), 1.0)

    return _with_residual_interval(past, fit)


def histogram_boosting(past: Past) -> Answer:
    """Histogram gradient boosting of the absolute error on centroids, boroughs and calendar: the best public recipe."""
    columns = (*_PUBLIC_FEATURES, *_distance(past))

    def fit(trips: TripDataset) -> Estimator:
        model = HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=600, early_stopping=False, random_state=1,
            categorical_features=[columns.index(name) for name in _CATEGORIES],
        ).fit(_columns(trips.batch, columns), trips.minutes)  # fmt: skip
        return lambda asked: np.maximum(model.predict(_columns(asked, columns)), 1.0)

    return _with_residual_interval(past, fit)


def log_xgboost(past: Past) -> Answer:
    """XGBoost on the logarithm of the minutes, with the public features."""
    columns = (*_PUBLIC_FEATURES, *_distance(past))
    parameters = {"max_depth": 9, "eta": 0.1, "subsample": 0.8, "colsample_bytree": 0.8, "seed": 1}

    def fit(trips: TripDataset) -> Estimator:
        data = xgboost.DMatrix(_columns(trips.batch, columns), np.log(trips.minutes))
        model = xgboost.train(parameters, data, 200)
        return lambda asked: np.exp(model.predict(xgboost.DMatrix(_columns(asked, columns))).astype(np.float64))

    return _with_residual_interval(past, fit)


def logitrack(past: Past) -> Answer:
    """The platform's own training on every past trip, with its default options."""
    predictor = _trained(past.lake)

    def answer(asked: TripBatch) -> Forecast:
        prediction = predictor.predict(asked, level=LEVEL)
        return Forecast(prediction.minutes, prediction.low, prediction.high)

    return answer


RECIPES: dict[str, Recipe] = {
    "pair-hour median": pair_hour_median,
    "linear regression": linear_regression,
    "histogram boosting": histogram_boosting,
    "XGBoost of log minutes": log_xgboost,
    "logitrack": logitrack,
}


@lru_cache(maxsize=1)  # one training answers with and without distance
def _trained(lake: Lake) -> Predictor:
    session = benchmark_session(master="local[*]", driver_memory="4g")
    with tempfile.TemporaryDirectory() as folder:
        models = ModelRegistry(Path(folder))
        candidate = train_candidate(session, lake, models, TrainingOptions())
        return models.load(candidate.manifest.version)


def _with_residual_interval(past: Past, fit: Callable[[TripDataset], Estimator]) -> Answer:
    """Return answers whose interval is the estimate times two factors (split conformal prediction).

    The factors are the quantiles of real by predicted minutes in the newest past month, of a model fitted without it.
    """
    newest = past.trips.month == past.trips.month.max()
    held_out = past.trips.take(newest)
    low, high = np.quantile(held_out.minutes / fit(past.trips.take(~newest))(held_out.batch), _TAILS)
    estimate = fit(past.trips)

    def answer(asked: TripBatch) -> Forecast:
        minutes = estimate(asked)
        return Forecast(minutes, minutes * low, minutes * high)

    return answer


def _columns(batch: TripBatch, names: Sequence[str]) -> NDArray[np.float32]:
    return feature_matrix(batch, without_delays())[:, [FEATURES.index(name) for name in names]]


def _distance(past: Past) -> tuple[str, ...]:
    return ("distance_miles",) if past.variant is Variant.DISTANCE else ()


def _pair_and_hour(batch: TripBatch) -> NDArray[np.int64]:
    pair = batch.pickup_zone.astype(np.int64) * (ZONES + 1) + batch.dropoff_zone
    key: NDArray[np.int64] = pair * 24 + hour_of_day(batch.pickup_at)
    return key
