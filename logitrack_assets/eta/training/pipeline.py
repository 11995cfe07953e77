"""The training pipeline: from silver months to a published candidate, without Dagster.

1. Count trips and delays by month, and sample the trips.
2. Select the strategy by a rolling backtest on the newest months.
3. Evaluate it: train on Spark through the month before the newest, predict the newest, beside the baseline.
4. Calibrate intervals on the residuals of the backtest and of the evaluation model.
5. Fit the published trees: the same strategy, trained through the newest month.
6. Publish the version's folder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips, regression_metrics
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.backtest import Backtest, run_backtest
from logitrack_assets.eta.training.evaluation_model import evaluate_strategy
from logitrack_assets.eta.training.interval_calibration import calibrate_intervals
from logitrack_assets.eta.training.publishing import fit_published, publish_candidate
from logitrack_assets.eta.training.strategy import STRATEGIES, TrainingOptions, distinct_strategies
from logitrack_assets.eta.training.training_data import TrainingData, read_training_data
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A published candidate with what plots and asset metadata show.

    Attributes:
        manifest: Manifest of the version.
        backtest: The backtest that selected its strategy.
        evaluated: Evaluated trips of the newest month by variant.
        seconds: Duration of each stage.
    """

    manifest: Manifest
    backtest: Backtest
    evaluated: dict[Variant, EvaluatedTrips]
    seconds: dict[str, float]


def train_candidate(
    session: SparkSession,
    lake: Lake,
    registry: ModelRegistry,
    options: TrainingOptions,
    *,
    months: Sequence[str] | None = None,
    log: Callable[[str], None] = _LOGGER.info,
) -> Candidate:
    """Train, evaluate and publish a candidate from the silver months of the lake.

    Args:
        session: The Spark session.
        lake: The lake with the silver months.
        registry: Where the version is published.
        options: Options of the training.
        months: Silver months that may be trained on, ascending; all of the lake when None.
        log: Receives a line per finished stage.

    Raises:
        TrainingError: There are too few months or trips.
    """
    timer = StageTimer(log)
    data = read_training_data(session, lake, options, lake.silver_months() if months is None else months)
    timer.finish("counting", f"{data.counts.total(data.months):,} trips of {len(data.months)} months")
    backtest = select_strategy(session, data, options)
    strategy = backtest.chosen
    timer.finish("backtest", f"selected '{strategy.name}' from {len(backtest.folds)} folds")
    evaluation = evaluate_strategy(data, strategy, options)
    lookup_mae = regression_metrics(evaluation.lookup, evaluation.trips.minutes).mae_minutes
    timer.finish("evaluation", f"{len(evaluation.trips):,} trips of {data.newest}, lookup MAE {lookup_mae:.2f} minutes")
    calibration = calibrate_intervals(data.sample, backtest, evaluation)
    timer.finish("calibration", f"on {', '.join(map(str, calibration.months))}")
    published = fit_published(data, strategy, options, evaluation)
    window = strategy.months(data.months)
    timer.finish("fitting", f"{options.estimator}, {options.parameters.trees} trees, {window[0]} to {window[-1]}")
    manifest = publish_candidate(lake, registry, options, data, backtest, evaluation, calibration, published)
    timer.finish("publishing", manifest.version)
    return Candidate(manifest, backtest, calibration.evaluated, timer.seconds)


def select_strategy(session: SparkSession, data: TrainingData, options: TrainingOptions) -> Backtest:
    """Backtest the strategies that differ for the available months, and select one."""
    strategies = distinct_strategies(STRATEGIES, len(data.past))
    months = data.fold_months(options.folds)
    return run_backtest(session, data.sample, data.counts.delays, strategies, months, seed=options.seed)


class StageTimer:
    """Measures and logs the duration of consecutive stages.

    Attributes:
        seconds: Duration of each finished stage.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log, self._started = log, time.monotonic()
        self.seconds: dict[str, float] = {}

    def finish(self, stage: str, summary: str) -> None:
        """Record and log the end of a stage; the next one begins."""
        now = time.monotonic()
        self.seconds[stage] = round(now - self._started, 1)
        self._started = now
        self._log(f"{stage}: {summary} ({self.seconds[stage]:.1f} s)")
