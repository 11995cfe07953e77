"""From silver months to a published candidate: the whole line in one place, without Dagster.

1. Count trips and delays by month.
2. Choose the recipe by a rolling backtest on the newest months.
3. Judge it: train it on Spark through the month before the newest, answer the newest, beside the lookup.
4. Calibrate intervals on what the backtest and the judged model missed.
5. Publish it: train the same recipe through the newest month. Traffic changes from month to month, so the trees that
   are served learn from every month there is; their own error cannot be measured before the next month has passed,
   and metrics are those of step 3.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from logitrack_assets.eta import drift
from logitrack_assets.eta.artifact.predictor import (
    CARD,
    DEFAULT_LEVEL,
    FORMAT,
    INTERVALS,
    MAX_LEVEL,
    MIN_LEVEL,
    MODEL,
    REFERENCE,
    TABLES,
    Intervals,
    Manifest,
    ModelMetrics,
    Tables,
    TrainingMonth,
)
from logitrack_assets.eta.evaluation.baseline import baseline_minutes
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips, errors, interval_bounds, slices
from logitrack_assets.eta.features import FEATURES, FLEETS
from logitrack_assets.eta.model_card import card
from logitrack_assets.eta.registry import ModelRegistry, write_manifest
from logitrack_assets.eta.traffic import Delays, month_name
from logitrack_assets.eta.training.backtest import Backtest, backtest
from logitrack_assets.eta.training.calibration import Residuals, calibrate
from logitrack_assets.eta.training.fitting import (
    FittedModel,
    TrainingContext,
    TrainingError,
    TripDataset,
    collect_sample,
    count_pairs,
    count_trips,
    fit_variants,
    in_months,
    serving_tables,
    silver_trips,
    spark_features,
    to_minutes,
)
from logitrack_assets.eta.training.onnx_export import merge_graphs
from logitrack_assets.eta.training.strategy import (
    GBT,
    STRATEGIES,
    Estimator,
    TrainingStrategy,
    TreeParameters,
    distinct,
)
from logitrack_assets.lake import Lake

MIN_TRAINING_TRIPS = 2_000
"""With fewer trips than this the lookup by pair and hour knows almost no pair, and neither would trees."""
MIN_EVALUATION_TRIPS = 300
"""With fewer the newest month cannot tell a good model from a bad one: the standard error of its MAE is above 5%."""
MAX_EVALUATION_TRIPS = 60_000
"""Trips of the newest month that are answered; the standard error of their MAE is below 0.6%."""
MAX_BACKTEST_TRIPS = 300_000


@dataclass(frozen=True)
class TrainingOptions:
    """What a person may choose. window: newest months looked at, None for all."""

    estimator: Estimator = "xgboost"
    window: int | None = None
    folds: int = 3
    trees: int | None = None
    seed: int = 20190801


@dataclass(frozen=True)
class Candidate:
    """A published version, with what plots and checks look at."""

    manifest: Manifest
    backtest: Backtest
    zones: EvaluatedTrips
    distance: EvaluatedTrips
    seconds: dict[str, float]


def build(
    session: SparkSession,
    lake: Lake,
    models: ModelRegistry,
    options: TrainingOptions = TrainingOptions(),
    *,
    say: Callable[[str], None] = lambda text: None,
) -> Candidate:
    """Trains, judges and publishes a candidate from the silver months in the lake.

    Raises:
        TrainingError: too few months or trips.
    """
    laps = _Laps(say)
    names = lake.silver_months()
    if options.window is not None:
        names = names[-options.window :]
    if not names:
        raise TrainingError("There are no clean trips to learn from: run `logitrack materialize --months …` first.")
    trips = silver_trips(session, [lake.silver(name) for name in names])
    census = count_trips(trips)
    months = census.months
    _require_enough(months, census.total(months[:-1]), census.trips_in_month(months[-1]))
    newest, past = months[-1], months[:-1]
    laps.done("counting", f"{census.total(months):,} trips of {len(months)} months")

    sample = collect_sample(trips, rows=MAX_BACKTEST_TRIPS, total=census.total(months), seed=options.seed)
    judged_months = [month for month in past[1:] if census.trips_in_month(month) >= MIN_EVALUATION_TRIPS]
    fold_months = (
        [*judged_months[len(judged_months) - (options.folds - 1) :], newest] if options.folds > 1 else [newest]
    )
    tested = backtest(session, sample, census.delays, distinct(STRATEGIES, len(past)), fold_months, seed=options.seed)
    recipe = tested.chosen
    laps.done("backtest", f"chose '{recipe.name}' of {len(tested.folds)} folds")

    forest = replace(GBT if options.estimator == "gbt" else TreeParameters(), seed=options.seed)
    forest = replace(forest, trees=options.trees or forest.trees)
    twin = _train(trips, recipe, past, census.delays, forest)
    asked_frame = in_months(trips, [newest])
    asked = collect_sample(
        asked_frame, rows=MAX_EVALUATION_TRIPS, total=census.trips_in_month(newest), seed=options.seed
    )
    before = serving_tables(recipe, census.delays, past[-1])
    if np.isfinite(asked.batch.distance_miles).sum() < MIN_EVALUATION_TRIPS:
        raise TrainingError(f"Too few trips of {month_name(newest)} carry a distance to judge answers that use one.")
    zones_minutes, distance_minutes = _answer(twin, spark_features(asked_frame, asked, before))
    laps.done("judging", f"{len(asked):,} trips of {month_name(newest)}")
    lookup = baseline_minutes(trips, past, asked.batch)
    laps.done("lookup", f"MAE {errors(lookup, asked.minutes).mae_minutes:.2f} minutes")

    last = _residuals(asked, zones_minutes, distance_minutes)
    doubt = _Doubt.from_folds(
        _fold_residuals(tested, sample, asked, zones_minutes, distance_minutes),
        asked,
        zones_minutes,
        distance_minutes,
        newest,
    )
    unseen = slice(1, None, 2)
    zones = _judged(asked, zones_minutes, lookup, doubt.judging, unseen, with_distance=False)
    distance = _judged(asked, distance_minutes, lookup, doubt.judging, unseen, with_distance=True)
    known = ~np.isnan(asked.batch.distance_miles)
    metrics = ModelMetrics(
        zones=errors(zones_minutes, asked.minutes),
        distance=errors(distance_minutes[known], asked.minutes[known]),
        lookup=errors(lookup, asked.minutes),
        level=DEFAULT_LEVEL,
        coverage_zones=float(zones.covered.mean()),
        coverage_distance=float(distance.covered.mean()),
        width_minutes_zones=float((zones.high - zones.low).mean()),
        width_minutes_distance=float((distance.high - distance.low).mean()),
        coverage_forward_zones=doubt.forward[0],
        coverage_forward_distance=doubt.forward[1],
        calibrated_on=doubt.months,
        slices=[*slices(zones, distance_known=False), *slices(distance, distance_known=True)],
    )
    intervals = calibrate(Residuals.joined([*doubt.earlier, last]))

    published = _train(trips, recipe, months, census.delays, forest)
    tables = serving_tables(recipe, census.delays, newest)
    support = count_pairs(trips)
    held_out = asked.take(slice(0, Holdout.MAX_TRIPS))
    trained_zones, trained_distance = _answer(published, spark_features(asked_frame, held_out, tables))
    laps.done("training", f"{forest.estimator}, {forest.trees} trees, {', '.join(_span(recipe.months(months)))}")

    fleets = sorted({FLEETS[fleet] for _, fleet in census.trips}, key=FLEETS.index)
    training = [
        TrainingMonth(
            month=month_name(month), fleet=FLEETS[fleet], trips=count, bronze_sha256=_digest(lake, month, fleet)
        )
        for (month, fleet), count in sorted(census.trips.items())
        if month in recipe.months(months)
    ]
    graph = merge_graphs(published[0].onnx, published[1].onnx)
    model_bytes = graph.SerializeToString(deterministic=True)
    created = datetime.now(UTC).replace(microsecond=0)
    version = models.new_version(hashlib.sha256(model_bytes + created.isoformat().encode()).hexdigest(), at=created)
    with models.staged(version) as folder:
        (folder / MODEL).write_bytes(model_bytes)
        Tables(tables, support).save(folder / TABLES)
        intervals.save(folder / INTERVALS)
        drift.Reference.from_training(sample, census, metrics).save(folder / REFERENCE)
        Holdout(
            held_out,
            zones_minutes[: len(held_out)],
            distance_minutes[: len(held_out)],
            lookup[: len(held_out)],
            trained_zones,
            trained_distance,
        ).save(folder / HOLDOUT_FILE)
        manifest = Manifest(
            format=FORMAT,
            version=version,
            created_at=created,
            estimator=options.estimator,
            seed=options.seed,
            recipe={
                "name": recipe.name,
                "recent_delays": recipe.recent,
                "window_months": recipe.window,
                "half_life_months": recipe.half_life,
                "forest": forest.facts(),
                "chosen_by": tested.table(),
                "judged": f"metrics are of the same recipe trained through {month_name(past[-1])}; "
                f"the published trees were then trained through {month_name(newest)}",
            },
            features=dict.fromkeys(FEATURES, "float32"),
            fleets=fleets,
            training=training,
            trained_through=month_name(newest),
            judged_on=[month_name(newest)],
            metrics=metrics,
            levels=[MIN_LEVEL, MAX_LEVEL],
            libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
            files={},
        )
        (folder / CARD).write_text(card(manifest), encoding="utf-8")
        manifest = write_manifest(folder, manifest)
    laps.done("publishing", version)
    return Candidate(manifest, tested, zones, distance, laps.seconds)


_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyspark")


def _require_enough(months: Sequence[int], past_trips: int, newest_trips: int) -> None:
    if len(months) < 2:
        raise TrainingError(
            f"One month of trips ({month_name(months[0])}) is too little: a model is judged on a month after those it "
            "learned from. Load another month."
        )
    if past_trips < MIN_TRAINING_TRIPS:
        raise TrainingError(
            f"Too few trips to train: {past_trips:,} in {len(months) - 1} months before the newest; "
            f"at least {MIN_TRAINING_TRIPS:,} are needed. Load more months."
        )
    if newest_trips < MIN_EVALUATION_TRIPS:  # and nothing but a short or broken month has so few
        raise TrainingError(
            f"Too few trips to judge a model: {newest_trips:,} in {month_name(months[-1])}; "
            f"at least {MIN_EVALUATION_TRIPS:,} are needed."
        )


def _train(
    trips: DataFrame, recipe: TrainingStrategy, months: list[int], delays: Delays, forest: TreeParameters
) -> tuple[FittedModel, FittedModel]:
    window = recipe.months(months)
    return fit_variants(in_months(trips, window), TrainingContext.from_strategy(recipe, delays, window), forest)


def _answer(
    forests: tuple[FittedModel, FittedModel], matrix: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minutes for zones alone and with distances, by the estimators' own scoring."""
    return to_minutes(forests[0].score(matrix)), to_minutes(forests[1].score(matrix))


def _residuals(asked: TripDataset, zones: NDArray[np.float64], distance: NDArray[np.float64]) -> Residuals:
    known = ~np.isnan(asked.batch.distance_miles)
    return Residuals.joined(
        [
            Residuals.from_predictions(asked.batch.without_distance(), zones, asked.minutes),
            Residuals.from_predictions(asked.batch.take(known), distance[known], asked.minutes[known]),
        ]
    )


def _fold_residuals(
    tested: Backtest, sample: TripDataset, asked: TripDataset, zones: NDArray[np.float64], distance: NDArray[np.float64]
) -> dict[int, Residuals]:
    """What the chosen recipe missed in each fold but the newest month's, which the judged model answers better.

    A fold's trees saw fewer trips than the judged ones and miss by more. On the newest month both have answered, and
    by what that shows the other folds' misses are made smaller: intervals would be too wide by as much.
    """
    place = {int(row): index for index, row in enumerate(sample.row)}

    def answered(month: int, *, with_distance: bool) -> tuple[TripDataset, NDArray[np.float64]] | None:
        for fold in tested.folds:
            if (fold.recipe, fold.month, fold.with_distance) == (tested.chosen, month, with_distance):
                return sample.take(np.array([place[int(row)] for row in fold.row], dtype=np.int64)), fold.predicted
        return None

    smaller = {False: 1.0, True: 1.0}
    for with_distance, predicted in ((False, zones), (True, distance)):
        newest = answered(tested.months[-1], with_distance=with_distance)
        if newest is not None:
            rows = np.isfinite(asked.batch.distance_miles) if with_distance else np.ones(len(asked), dtype=bool)
            ours = np.abs(np.log(asked.minutes[rows] / predicted[rows])).mean()
            smaller[with_distance] = min(1.0, float(ours / np.abs(np.log(newest[0].minutes / newest[1])).mean()))
    found = {}
    for month in tested.months[:-1]:
        parts = []
        for with_distance, factor in smaller.items():
            fold = answered(month, with_distance=with_distance)
            if fold is not None:
                batch = fold[0].batch if with_distance else fold[0].batch.without_distance()
                missed = Residuals.from_predictions(batch, fold[1], fold[0].minutes)
                parts.append(Residuals(missed.log_ratio * factor, missed.group))
        found[month] = Residuals.joined(parts)
    return found


MAX_FORWARD_COVERAGE_ERROR = 0.03
"""How far the coverage of intervals from earlier months may lie from the level on the newest month, before those
months are taken to say nothing about today's doubt."""


@dataclass(frozen=True)
class _Doubt:
    """What intervals are made of.

    earlier: residuals of months before the newest; empty where the newest month was unlike them.
    judging: intervals from `earlier` and every other trip of the newest month, to be judged on the other trips.
    forward: coverage of the newest month by intervals from the months before alone, without and with distance.
    """

    earlier: list[Residuals]
    judging: Intervals
    forward: tuple[float, float]
    months: list[str]

    @classmethod
    def from_folds(
        cls,
        folds: dict[int, Residuals],
        asked: TripDataset,
        zones: NDArray[np.float64],
        distance: NDArray[np.float64],
        newest: int,
    ) -> _Doubt:
        half = asked.take(slice(0, None, 2))
        seen = _residuals(half, zones[::2], distance[::2])
        earlier = list(folds.values())
        everything = slice(None)
        before = calibrate(Residuals.joined(earlier) if earlier else seen)
        forward = tuple(
            float(_judged(asked, minutes, minutes, before, everything, with_distance=known).covered.mean())
            for minutes, known in ((zones, False), (distance, True))
        )
        if max(abs(covered - DEFAULT_LEVEL) for covered in forward) > MAX_FORWARD_COVERAGE_ERROR:
            earlier = []
        months = [month_name(month) for month in (folds if earlier else {})] + [month_name(newest)]
        return cls(earlier, calibrate(Residuals.joined([*earlier, seen])), (forward[0], forward[1]), months)


def _judged(
    asked: TripDataset,
    predicted: NDArray[np.float64],
    lookup: NDArray[np.float64],
    intervals: Intervals,
    rows: slice,
    *,
    with_distance: bool,
) -> EvaluatedTrips:
    """The chosen rows, those of known distance where `with_distance`, with their intervals."""
    chosen = np.zeros(len(asked), dtype=bool)
    chosen[rows] = True
    if with_distance:
        chosen &= ~np.isnan(asked.batch.distance_miles)
    trips = asked.batch.take(chosen) if with_distance else asked.batch.without_distance().take(chosen)
    low, high = interval_bounds(trips, predicted[chosen], intervals, DEFAULT_LEVEL)
    return EvaluatedTrips(trips, asked.minutes[chosen], predicted[chosen], lookup[chosen], low, high)


def _digest(lake: Lake, month: int, fleet: int) -> str | None:
    receipt: dict[str, Any] | None = lake.receipt(FLEETS[fleet], month_name(month))
    return receipt["sha256"] if receipt else None


def _span(months: list[int]) -> list[str]:
    return [month_name(months[0]), month_name(months[-1])]


class _Laps:
    """Says what was done and remembers how long it took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._since = say, datetime.now(UTC)
        self.seconds: dict[str, float] = {}

    def done(self, part: str, what: str) -> None:
        now = datetime.now(UTC)
        self.seconds[part] = round((now - self._since).total_seconds(), 1)
        self._since = now
        self._say(f"{part}: {what} ({self.seconds[part]:.1f} s)")
