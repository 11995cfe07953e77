"""Versions in MLflow, where that is asked for: a real local store, and a server that is not there."""

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
from logitrack_tests.eta.examples import publish


def test_a_version_is_written_down_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a local store keeps its files where it is used
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    models = ModelRegistry(tmp_path / "models")
    version = publish(models)
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


def test_a_server_that_is_not_there_is_said_and_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "MLFLOW_TIMEOUTS", {})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models = ModelRegistry(tmp_path / "models")
    version = publish(models)
    with pytest.raises(LogitrackError, match=f"MLflow did not take {version}: .*127.0.0.1"):
        tracking.log_candidate(models.manifest(version), models.path(version), {})


def test_without_it_nothing_of_it_is_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert not tracking.is_enabled()
    code = "import sys, logitrack_assets.definitions; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
