"""`eta_drift` stores its measurements, and its check acts on the version that the run compared with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, materialize

from logitrack_assets.eta import assets
from logitrack_assets.eta.checks import no_drift
from logitrack_assets.eta.drift import DriftMeasurement
from logitrack_assets.eta.drift_store import read_drifted_months
from logitrack_assets.eta.resources import MonitoringPolicy
from logitrack_assets.lake import Lake
from logitrack_assets.resources import LakeResource
from logitrack_assets.warehouse import Warehouse

COMPARED, PROMOTED_LATER = "20200201T000000-aaaaaa", "20200301T000000-bbbbbb"
MEASUREMENTS = [
    DriftMeasurement("yellow", "psi hour", 0.3, 0.1, drifted=True),
    DriftMeasurement("yellow", "volume ratio", 1.1, 2.0, drifted=False),
]


class Registry:
    """A registry whose champion changes after the first look."""

    def __init__(self, *versions: str) -> None:
        self._versions = list(versions)

    def open(self) -> Registry:
        return self

    def champion(self) -> SimpleNamespace | None:
        if not self._versions:
            return None
        version = self._versions.pop(0) if len(self._versions) > 1 else self._versions[0]
        return SimpleNamespace(version=version)

    def load(self, version: str) -> SimpleNamespace:
        return SimpleNamespace(version=version, manifest=SimpleNamespace(trained_through="2020-02"))


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Materialise eta_drift for a month with a registry."""
    monkeypatch.setattr(assets, "find_drift", lambda *_: MEASUREMENTS)
    for month in ("2020-02", "2020-03"):
        Lake(tmp_path).silver(month).mkdir(parents=True)

    def run(month: str, registry: Registry) -> ExecuteInProcessResult:
        resources = {
            "spark": SimpleNamespace(spark_session=None),
            "lake": LakeResource(home=str(tmp_path)),
            "registry": registry,
            "warehouse": SimpleNamespace(open=lambda: Warehouse(database_url)),
            "policy": MonitoringPolicy(
                drift_psi=0.1,
                drift_volume_ratio=2,
                drift_error_ratio=1.4,
                live_error_worse_by=0.25,
                retrain_cooldown_hours=24,
                promotion="gates",
            ),
        }
        with DagsterInstance.ephemeral() as instance:
            return materialize(
                [assets.eta_drift, no_drift], partition_key=month, instance=instance, resources=resources
            )

    return run


def test_measurements_are_stored_and_the_check_warns(run, database_url: str) -> None:
    result = run("2020-03", Registry(COMPARED, PROMOTED_LATER))
    with Warehouse(database_url).connect() as connection:
        (drifted,) = read_drifted_months(connection, COMPARED)
    assert (drifted.month, drifted.measures) == ("2020-03", ["psi hour"])
    metadata = result.asset_materializations_for_node("eta_drift")[0].metadata
    assert metadata["model_version"].value == COMPARED
    assert metadata["yellow/volume ratio"].value == 1.1
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["model_version"].value == COMPARED, "not the champion that was promoted meanwhile"
    assert check.description == "2020-03: yellow psi hour"


@pytest.mark.parametrize(
    ("month", "registry", "outcome"),
    [
        ("2020-03", Registry(), "No champion yet"),
        ("2020-02", Registry(COMPARED), "trained through 2020-02"),
        ("2020-04", Registry(COMPARED), "no silver trips"),
    ],
)
def test_month_that_cannot_be_compared_says_why(run, month: str, registry: Registry, outcome: str) -> None:
    result = run(month, registry)
    metadata = result.asset_materializations_for_node("eta_drift")[0].metadata
    assert outcome in metadata["outcome"].value
    assert all(check.passed for check in result.get_asset_check_evaluations())
