"""Publication of a candidate: the version's folder with its manifest."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import (
    CARD,
    DEFAULT_LEVEL,
    FORMAT,
    INTERVALS,
    MAX_LEVEL,
    MIN_LEVEL,
    MODEL,
    REFERENCE,
    TABLES,
    Manifest,
    ModelMetrics,
    Tables,
    TrainingMonth,
    write_manifest,
)
from logitrack_assets.eta.drift import DriftReference
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.evaluation.metrics import regression_metrics
from logitrack_assets.eta.evaluation.slices import slice_metrics
from logitrack_assets.eta.features import FEATURES, FLEETS
from logitrack_assets.eta.model_card import model_card
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.backtest import Backtest
from logitrack_assets.eta.training.context import serving_tables
from logitrack_assets.eta.training.evaluation_model import Evaluation, fit_strategy, predict_variants
from logitrack_assets.eta.training.feature_rows import spark_features
from logitrack_assets.eta.training.fitting import FittedModel
from logitrack_assets.eta.training.interval_calibration import IntervalCalibration
from logitrack_assets.eta.training.onnx_export import merge_graphs
from logitrack_assets.eta.training.strategy import TrainingOptions, TrainingStrategy
from logitrack_assets.eta.training.training_data import TrainingData
from logitrack_assets.eta.trip_counts import count_pairs
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyspark")


@dataclass(frozen=True)
class PublishedModel:
    """The trees that are served, trained through the newest month.

    Attributes:
        models: The trees by variant.
        tables: Lookup tables of the features, and the support.
        held_out: By variant, their predictions for the first `Holdout.MAX_TRIPS` evaluated trips on the training path.
    """

    models: dict[Variant, FittedModel]
    tables: Tables
    held_out: dict[Variant, NDArray[np.float64]]


def fit_published(
    data: TrainingData, strategy: TrainingStrategy, options: TrainingOptions, evaluation: Evaluation
) -> PublishedModel:
    """Train the selected strategy through the newest month.

    Traffic changes from month to month, so the served trees use every month. Their own error cannot be measured before
    the next month is over; the metrics are those of the evaluation model.
    """
    models = fit_strategy(data.trips, strategy, data.months, data.counts.delays, options.parameters)
    tables = serving_tables(strategy, data.counts.delays, data.newest)
    held_out = evaluation.trips.take(slice(0, Holdout.MAX_TRIPS))
    features = spark_features(data.newest_trips(), held_out, tables)
    return PublishedModel(models, Tables(tables, count_pairs(data.trips)), predict_variants(models, features))


def publish_candidate(
    lake: Lake,
    registry: ModelRegistry,
    options: TrainingOptions,
    data: TrainingData,
    backtest: Backtest,
    evaluation: Evaluation,
    calibration: IntervalCalibration,
    published: PublishedModel,
) -> Manifest:
    """Write the version's folder and return its manifest."""
    graph = merge_graphs({variant: model.onnx for variant, model in published.models.items()})
    model_bytes = graph.SerializeToString(deterministic=True)
    created = datetime.now(UTC).replace(microsecond=0)
    digest = hashlib.sha256(model_bytes + created.isoformat().encode()).hexdigest()
    version = registry.new_version(digest, at=created)
    metrics = model_metrics(evaluation, calibration)
    newest = str(data.newest)
    manifest = Manifest(
        format=FORMAT,
        version=version,
        created_at=created,
        estimator=options.estimator,
        seed=options.seed,
        recipe=_recipe(options, data, backtest),
        features=dict.fromkeys(FEATURES, "float32"),
        fleets=data.counts.fleets,
        training=_training_months(lake, data, backtest.chosen),
        trained_through=newest,
        judged_on=[newest],
        metrics=metrics,
        levels=[MIN_LEVEL, MAX_LEVEL],
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        files={},
    )
    with registry.staged(version) as folder:
        (folder / MODEL).write_bytes(model_bytes)
        published.tables.save(folder / TABLES)
        calibration.published.save(folder / INTERVALS)
        DriftReference.from_training(data.sample, data.counts, metrics).save(folder / REFERENCE)
        _write_holdout(folder / HOLDOUT_FILE, evaluation, published)
        (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
        return write_manifest(folder, manifest)


def model_metrics(evaluation: Evaluation, calibration: IntervalCalibration) -> ModelMetrics:
    """Return the metrics of the evaluation model on the newest month."""
    real, evaluated = evaluation.trips.minutes, calibration.evaluated
    rows = {variant: variant.mask(evaluation.trips.batch) for variant in Variant}
    errors = {
        variant: regression_metrics(evaluation.predicted[variant][rows[variant]], real[rows[variant]])
        for variant in Variant
    }
    return ModelMetrics(
        zones=errors[Variant.ZONES],
        distance=errors[Variant.DISTANCE],
        lookup=regression_metrics(evaluation.lookup, real),
        level=DEFAULT_LEVEL,
        coverage_zones=float(evaluated[Variant.ZONES].covered.mean()),
        coverage_distance=float(evaluated[Variant.DISTANCE].covered.mean()),
        width_minutes_zones=evaluated[Variant.ZONES].mean_width_minutes,
        width_minutes_distance=evaluated[Variant.DISTANCE].mean_width_minutes,
        coverage_forward_zones=calibration.forward_coverage[Variant.ZONES],
        coverage_forward_distance=calibration.forward_coverage[Variant.DISTANCE],
        calibrated_on=[str(month) for month in calibration.months],
        slices=[part for variant in Variant for part in slice_metrics(evaluated[variant], variant)],
        recalibrated_slices=[part.name for part in calibration.recalibrated],
    )


def _recipe(options: TrainingOptions, data: TrainingData, backtest: Backtest) -> dict[str, object]:
    strategy = backtest.chosen
    return {
        "name": strategy.name,
        "recent_delays": strategy.recent,
        "window_months": strategy.window,
        "half_life_months": strategy.half_life,
        "forest": options.parameters.facts(),
        "chosen_by": backtest.table(),
        "judged": f"the metrics are those of the same strategy trained through {data.past[-1]}; "
        f"the published trees were trained through {data.newest}",
    }


def _training_months(lake: Lake, data: TrainingData, strategy: TrainingStrategy) -> list[TrainingMonth]:
    window = strategy.months(data.months)
    return [
        TrainingMonth(
            month=str(month),
            fleet=FLEETS[fleet],
            trips=count,
            bronze_sha256=_bronze_digest(lake, FLEETS[fleet], str(month)),
            silver_version=lake.silver_version(str(month)),
        )
        for (month, fleet), count in sorted(data.counts.trips.items())
        if month in window
    ]


def _bronze_digest(lake: Lake, fleet: str, month: str) -> str | None:
    receipt = lake.receipt(fleet, month)
    return receipt["sha256"] if receipt else None


def _write_holdout(path: Path, evaluation: Evaluation, published: PublishedModel) -> None:
    held_out = evaluation.take(slice(0, Holdout.MAX_TRIPS))
    Holdout(held_out.trips, held_out.predicted, held_out.lookup, published.held_out).save(path)
