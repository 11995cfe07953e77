"""Optional experiment tracking: a candidate's metrics in MLflow, when MLFLOW_TRACKING_URI is set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import Manifest

EXPERIMENT = "logitrack-eta"
MLFLOW_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""Limits of the wait for an absent server, unless the environment sets others; MLflow's defaults exceed 4 minutes."""

_MAX_REASON_CHARACTERS = 300


def is_enabled() -> bool:
    """Return whether tracking is configured."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def log_candidate(manifest: Manifest, folder: Path, plots: Mapping[str, Figure]) -> str:
    """Log a version's parameters, metrics, plots and files as one MLflow run.

    Returns:
        The id of the run.

    Raises:
        LogitrackError: MLflow is not installed, or its server did not accept the run. The version stays valid.
    """
    for name, value in MLFLOW_TIMEOUTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError:
        raise LogitrackError(
            "MLFLOW_TRACKING_URI is set but MLflow is not installed.", hint="Install logitrack with its extra `mlflow`."
        ) from None
    try:
        return _log_run(mlflow, manifest, folder, plots)
    except (mlflow.MlflowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LogitrackError(f"MLflow did not accept {manifest.version}: {reason[:_MAX_REASON_CHARACTERS]}") from error


def _log_run(mlflow: Any, manifest: Manifest, folder: Path, plots: Mapping[str, Figure]) -> str:
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=manifest.version) as run:
        mlflow.log_params(
            {
                "estimator": manifest.estimator,
                "seed": manifest.seed,
                "recipe": manifest.recipe["name"],
                "first_month": manifest.training_months[0],
                "trained_through": manifest.trained_through,
                **{f"forest_{name}": value for name, value in manifest.recipe["forest"].items()},
            }
        )
        metrics = manifest.metrics
        for name, errors in (("zones", metrics.zones), ("distance", metrics.distance), ("lookup", metrics.lookup)):
            mlflow.log_metrics({f"{name}_{key}": float(value) for key, value in errors.model_dump().items()})
        mlflow.log_metrics({"coverage_zones": metrics.coverage_zones, "coverage_distance": metrics.coverage_distance})
        mlflow.log_artifacts(str(folder), artifact_path="model")
        for name, figure in plots.items():
            mlflow.log_figure(figure, f"plots/{name}.png")
        return str(run.info.run_id)
