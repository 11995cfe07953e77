"""A run reads what it materialised itself, also when another run materialised something newer."""

from __future__ import annotations

import pytest
from dagster import AssetsDefinition, DagsterInstance, MaterializeResult, asset, materialize

from logitrack_assets.materializations import VERSION, RecordedMaterializations
from logitrack_assets.partitions import MONTHS


def _model(version: str) -> AssetsDefinition:
    @asset
    def model() -> MaterializeResult[None]:
        return MaterializeResult(metadata={VERSION: version})

    return model


def _month(version: str) -> AssetsDefinition:
    @asset(partitions_def=MONTHS)
    def month() -> MaterializeResult[None]:
        return MaterializeResult(metadata={VERSION: version})

    return month


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_run_reads_its_own_version_after_a_newer_run(instance: DagsterInstance) -> None:
    first = materialize([_model("first")], instance=instance).run_id
    second = materialize([_model("second")], instance=instance).run_id
    assert RecordedMaterializations(instance, first).text("model", VERSION) == "first"
    assert RecordedMaterializations(instance, second).text("model", VERSION) == "second"


def test_run_that_materialised_nothing_reads_the_latest_version(instance: DagsterInstance) -> None:
    materialize([_model("first")], instance=instance)
    other = materialize([_month("x")], partition_key="2019-01", instance=instance).run_id
    materialize([_model("second")], instance=instance)
    assert RecordedMaterializations(instance, other).text("model", VERSION) == "second"
    assert RecordedMaterializations(instance, other).own_texts("model", VERSION) == {}
    assert RecordedMaterializations(instance, other).own_texts("month", VERSION) == {"2019-01": "x"}


def test_versions_are_read_by_partition(instance: DagsterInstance) -> None:
    run = materialize([_month("january")], partition_key="2019-01", instance=instance).run_id
    materialize([_month("february")], partition_key="2019-02", instance=instance)
    recorded = RecordedMaterializations(instance, run)
    assert recorded.text("month", VERSION, "2019-01") == "january"
    assert recorded.text("month", VERSION, "2019-02") == "february"
    assert recorded.text("month", VERSION, "2019-03") is None


@pytest.mark.parametrize(("asset_name", "entry"), [("model", "other"), ("absent", VERSION)])
def test_missing_entry_or_asset_gives_none(instance: DagsterInstance, asset_name: str, entry: str) -> None:
    run = materialize([_model("first")], instance=instance).run_id
    assert RecordedMaterializations(instance, run).text(asset_name, entry) is None
