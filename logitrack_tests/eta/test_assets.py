"""Training and promotion use only months whose blocking checks passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, ExecuteInProcessResult, materialize

from logitrack_assets.eta import assets
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.resources import ModelRegistryResource
from logitrack_assets.eta.training.training_data import TrainingError
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import VERSION
from logitrack_assets.resources import LakeResource
from logitrack_tests.eta.examples import publish_version, random_trips, write_silver

FAILED, PASSED = "2019-05", "2019-06"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a month that passed its checks and one that did not."""
    lake = Lake(tmp_path)
    for month in (FAILED, PASSED):
        write_silver(tmp_path, month, random_trips(10, month=month))
    lake.record_check_results(FAILED, FAILED, {"row_count_reconciles": ["a row is missing"]})
    return lake


def _run(asset: Any, home: Path, instance: DagsterInstance) -> ExecuteInProcessResult:
    resources = {
        "spark": SimpleNamespace(spark_session=None),
        "lake": LakeResource(home=str(home)),
        "registry": ModelRegistryResource(home=str(home)),
        "policy": SimpleNamespace(promotion="gates"),
    }
    return materialize([asset], instance=instance, resources=resources, raise_on_error=False)


def _failure(result: ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def test_month_that_failed_a_blocking_check_is_not_trained_on(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def train(*_: object, months: list[str], log: object) -> None:
        used.extend(months)
        raise TrainingError("stopped here")

    monkeypatch.setattr(assets, "train_candidate", train)
    with DagsterInstance.ephemeral() as instance:
        result = _run(assets.eta_model, tmp_path, instance)
    assert _failure(result) == "stopped here"
    assert used == [PASSED]


@pytest.mark.parametrize(("month", "refused"), [(FAILED, True), (PASSED, False)])
def test_candidate_with_a_failed_training_month_is_refused(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, month: str, refused: bool
) -> None:
    monkeypatch.setattr(assets, "evaluate_gates", lambda *_: {})
    models = ModelRegistry(tmp_path / "models")
    version = publish_version(models, trained_through=month)
    with DagsterInstance.ephemeral() as instance:
        candidate = AssetMaterialization(AssetKey("eta_model"), metadata={VERSION: version})
        instance.report_runless_asset_event(candidate)
        result = _run(assets.eta_champion, tmp_path, instance)
    assert result.success is not refused
    assert (models.champion() is None) is refused
    if refused:
        assert f"training_months_passed: {FAILED}: row_count_reconciles: a row is missing" in _failure(result)
        assert models.listed()[0].status == "rejected"
