"""Experiment tracking in MLflow: a real local store, an absent server, and tracking switched off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta import tracking
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.plotting import new_axes
from logitrack_tests.eta.examples import publish_version


def test_version_is_logged_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a local store writes to the working directory
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    models = ModelRegistry(tmp_path / "models")
    version = publish_version(models)
    assert tracking.is_enabled()
    run_id = tracking.log_candidate(
        models.manifest(version), models.path(version), {"backtest": new_axes("", "", "")[0]}
    )

    run = mlflow.get_run(run_id)
    assert run.info.run_name == version
    assert run.data.params["trained_through"] == "2019-06"
    assert run.data.metrics["zones_mae_minutes"] == models.manifest(version).metrics.zones.mae_minutes
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (folder / "model" / "model.onnx").read_bytes() == (models.path(version) / "model.onnx").read_bytes()
    assert (folder / "plots" / "backtest.png").read_bytes().startswith(b"\x89PNG")


def test_absent_server_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "MLFLOW_TIMEOUTS", {})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models = ModelRegistry(tmp_path / "models")
    version = publish_version(models)
    with pytest.raises(LogitrackError, match=f"MLflow did not accept {version}: .*127.0.0.1"):
        tracking.log_candidate(models.manifest(version), models.path(version), {})


def test_mlflow_is_not_imported_when_tracking_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert not tracking.is_enabled()
    code = "import sys, logitrack_assets.definitions; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
