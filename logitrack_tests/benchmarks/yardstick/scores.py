"""Scores of a recipe on later trips, the check that it looks at nothing but its question, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_assets.eta.dataset import COLUMNS, TripDataset
from logitrack_assets.eta.evaluation.metrics import regression_metrics
from logitrack_assets.lake import Lake
from logitrack_tests.benchmarks.yardstick.recipes import LEVEL, Answer, Past, Recipe

LEAK_TRIPS = 200
LEAK_MINUTES = 1e-3
"""Difference that sums in another order explain."""

DRAWS = 1_000


@dataclass(frozen=True)
class Score:
    """How well a recipe predicted.

    Attributes:
        mae_minutes: Mean absolute error.
        rmse_minutes: Root mean squared error.
        interval_score: Mean interval score in minutes (Gneiting and Raftery 2007): the width, and ten times what an
            80% interval misses a trip by; lower is better.
        coverage: Share of the trips inside the interval.
        leak: What the recipe uses besides the question; None when nothing was found.
        errors: Absolute error of each trip, float64 (trips,).
        days: Day of each trip's pickup, datetime64[D] (trips,).
    """

    mae_minutes: float
    rmse_minutes: float
    interval_score: float
    coverage: float
    leak: str | None
    errors: NDArray[np.float64]
    days: NDArray[np.datetime64]


def read_trips(lake: Lake, months: Sequence[str], fleet: str, *, rows: int) -> TripDataset:
    """Return up to `rows` valid trips of a fleet, drawn with a fixed seed, in the order of the lake.

    Raises:
        ValueError: There are none.
    """
    columns = [name for name in COLUMNS if name not in ("vendor_id", "dropoff_at")]
    files = [file for month in months for file in sorted(lake.silver(month).glob("*.parquet"))]
    tables = [
        table.filter(pc.equal(table["fleet"], fleet)) for table in (pq.read_table(f, columns=columns) for f in files)
    ]
    if not sum(map(len, tables)):
        raise ValueError(f"the lake has no {fleet} trips of {', '.join(months) or 'earlier months'}")
    table = pa.concat_tables(tables)
    if len(table) > rows:
        table = table.take(np.sort(np.random.default_rng(1).choice(len(table), rows, replace=False)))
    return TripDataset.from_arrow(table.append_column("row", pa.array(np.arange(len(table)))))


def score(recipe: Recipe, past: Past, tested: TripDataset) -> Score:
    """Let a recipe learn from the past and score its answers about later trips.

    Raises:
        ValueError: A tested trip began before a past one, or the answers are no finite minutes in order.
    """
    if tested.batch.pickup_at.min() < past.trips.batch.pickup_at.max():
        raise ValueError("a recipe must learn from the past only")
    answer = recipe(past)
    asked, real = past.variant.inputs(tested.batch), tested.minutes
    forecast = answer(asked)
    if not np.isfinite(forecast.minutes).all() or (forecast.low > forecast.high).any():
        raise ValueError("a recipe must answer finite minutes, and low must not exceed high")
    metrics = regression_metrics(forecast.minutes, real)
    missed = np.maximum(forecast.low - real, 0) + np.maximum(real - forecast.high, 0)
    return Score(
        mae_minutes=metrics.mae_minutes,
        rmse_minutes=metrics.rmse_minutes,
        interval_score=float(np.mean(forecast.high - forecast.low + 2 / (1 - LEVEL) * missed)),
        coverage=float(np.mean(missed == 0)),
        leak=_leak(answer, tested, past),
        errors=np.abs(forecast.minutes - real),
        days=tested.batch.pickup_at.astype("datetime64[D]"),
    )


def _leak(answer: Answer, tested: TripDataset, past: Past) -> str | None:
    """Return what an answer depends on besides its question.

    Questions carry no outcome and the lake has no later month, so a recipe can learn about the tested months from the
    other questions only: the same trips asked alone must get the same answers.
    """
    few = past.variant.inputs(tested.batch.take(slice(0, LEAK_TRIPS)))
    together = answer(past.variant.inputs(tested.batch)).minutes[: len(few)]
    if np.abs(answer(few).minutes - together).max() > LEAK_MINUTES:
        return "the other questions"
    return None


def difference(one: Score, other: Score) -> tuple[float, float, float]:
    """Return the difference of two MAEs on the same trips in minutes, and the ends of its 95% interval.

    The bootstrap draws whole days (with Poisson weights): trips of one day share its traffic.
    """
    _, day = np.unique(one.days, return_inverse=True)
    sums, trips = np.bincount(day, one.errors - other.errors), np.bincount(day)
    weights = np.random.default_rng(1).poisson(1.0, (DRAWS, len(trips)))
    weights = weights[weights.sum(axis=1) > 0]
    low, high = np.quantile((weights @ sums) / (weights @ trips), [0.025, 0.975])
    return float(sums.sum() / trips.sum()), float(low), float(high)
