"""Small valid artifacts for the service tests: two-leaf trees with real tables and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx

from logitrack_assets.eta import artifact as eta
from logitrack_assets.eta.features import (
    DELAY_FEATURES,
    FEATURES,
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    PAIR_FEATURES,
    ZONES,
    FeatureTables,
)
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.onnx_export import constant_forest, merge_graphs
from logitrack_assets.eta.variant import Variant

_ERRORS = eta.RegressionMetrics(trips=1000, mae_minutes=3.4, rmse_minutes=5.5, r2=0.7, mape=0.25)
# The service does not depend on the values of the metrics: every number is the same invented one.
_METRICS = eta.ModelMetrics(
    **{
        name: _ERRORS if field.annotation is eta.RegressionMetrics else 0.8 if field.annotation is float else []
        for name, field in eta.ModelMetrics.model_fields.items()
    }
)


def publish_model(
    home: Path,
    *,
    minutes: float = 20.0,
    number: int = 1,
    forest: onnx.ModelProto | None = None,
    fleets: Sequence[str] = FLEETS,
) -> str:
    """Publish a version and return its name.

    Args:
        home: the value of `LOGITRACK_HOME`.
        minutes: prediction for every trip without a distance; with a distance it is half of that.
        number: makes versions with equal `minutes` distinct, 0 to 59.
        forest: replaces the constant model.
        fleets: fleets among the training trips.
    """
    store = ModelRegistry(home / "models")
    digest = hashlib.sha256(f"{number} {minutes}".encode()).hexdigest()
    version = store.new_version(digest, at=datetime(2019, 8, 1, tzinfo=UTC).replace(minute=number % 60))
    with store.staged(version) as folder:
        zones = forest or constant_forest(float(np.log(minutes)))
        distance = forest or constant_forest(float(np.log(minutes / 2)))
        graph = merge_graphs({Variant.ZONES: zones, Variant.DISTANCE: distance})
        onnx.save(graph, str(folder / eta.MODEL))
        support = np.full((ZONES, ZONES), 40, dtype=np.int32)
        support[:, 99] = 0
        tables = FeatureTables(
            np.zeros((ZONES, ZONES, len(PAIR_FEATURES)), dtype=np.float32),
            np.zeros((len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), dtype=np.float32),
        )
        eta.Tables(tables, support).save(folder / eta.TABLES)
        probabilities = np.array([0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975])
        groups = np.zeros(int(np.prod(eta.GROUP_SHAPE)), dtype=np.int64)
        eta.Intervals(probabilities, groups, np.linspace(-0.4, 0.4, 9)[None, :]).save(folder / eta.INTERVALS)
        names = (eta.MODEL, eta.TABLES, eta.INTERVALS)
        manifest = eta.Manifest(
            format=eta.FORMAT,
            version=version,
            created_at=datetime(2019, 8, 1, tzinfo=UTC),
            estimator="constant",
            seed=0,
            recipe={},
            features=dict.fromkeys(FEATURES, "float32"),
            fleets=list(fleets),
            training=[eta.TrainingMonth(month="2019-06", fleet=fleets[0], trips=1000, bronze_sha256=None)],
            trained_through="2019-06",
            judged_on=["2019-07"],
            metrics=_METRICS,
            levels=[eta.MIN_LEVEL, eta.MAX_LEVEL],
            libraries={},
            files={name: eta.sha256(folder / name) for name in names},
        )
        (folder / eta.MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return version


def promote_model(home: Path, *, minutes: float = 20.0, number: int = 1, fleets: Sequence[str] = FLEETS) -> str:
    """Publish a version, promote it and return its name."""
    version = publish_model(home, minutes=minutes, number=number, fleets=fleets)
    ModelRegistry(home / "models").promote(version, by="test", reason="set up by a test")
    return version
