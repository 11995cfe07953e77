"""The same figures in MLflow, for those who compare experiments there; nothing at all without MLFLOW_TRACKING_URI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact.predictor import Manifest

EXPERIMENT = "logitrack-eta"
MLFLOW_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""How long an absent server holds up a finished training, unless the environment says otherwise: MLflow's own defaults
come to more than four minutes."""


def is_enabled() -> bool:
    """Whether MLflow was asked for."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def log_candidate(manifest: Manifest, folder: Path, plots: dict[str, Figure]) -> str:
    """Writes a version's parameters, metrics, plots and files as one MLflow run; returns the run's id.

    Raises:
        LogitrackError: MLflow is asked for and not installed, or its server did not take the run. Neither is a reason
            to lose a model.
    """
    for name, value in MLFLOW_TIMEOUTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError:
        raise LogitrackError(
            "MLFLOW_TRACKING_URI is set but MLflow is not installed: install logitrack with its extra `mlflow`."
        ) from None
    try:
        return _log(mlflow, manifest, folder, plots)
    except (mlflow.MlflowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LogitrackError(f"MLflow did not take {manifest.version}: {reason[:300]}") from error


def _log(mlflow: Any, manifest: Manifest, folder: Path, plots: dict[str, Figure]) -> str:
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=manifest.version) as run:
        forest = manifest.recipe["forest"]
        mlflow.log_params(
            {
                "estimator": manifest.estimator,
                "seed": manifest.seed,
                "recipe": manifest.recipe["name"],
                "first_month": manifest.training_months[0],
                "trained_through": manifest.trained_through,
                **{f"forest_{name}": value for name, value in forest.items()},
            }
        )
        metrics = manifest.metrics
        for name, found in (("zones", metrics.zones), ("distance", metrics.distance), ("lookup", metrics.lookup)):
            mlflow.log_metrics({f"{name}_{key}": float(value) for key, value in found.model_dump().items()})
        mlflow.log_metrics({"coverage_zones": metrics.coverage_zones, "coverage_distance": metrics.coverage_distance})
        mlflow.log_artifacts(str(folder), artifact_path="model")
        for name, figure in plots.items():
            mlflow.log_figure(figure, f"plots/{name}.png")
        return str(run.info.run_id)
