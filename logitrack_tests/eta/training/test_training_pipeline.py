"""The training pipeline from silver months through the gates to the champion, and the errors that stop it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dagster import AssetKey, DagsterInstance, materialize
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from logitrack_assets.definitions import resources_from_settings
from logitrack_assets.eta.assets import assets
from logitrack_assets.eta.checks import checks
from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.evaluation.gates import GATES
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.pipeline import train_candidate
from logitrack_assets.eta.training.strategy import TrainingOptions
from logitrack_assets.eta.training.training_data import TrainingError
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import UNVERSIONED
from logitrack_assets.settings import get_settings
from logitrack_tests.eta.examples import random_trips, write_silver

MONTHS = ("2019-03", "2019-04", "2019-05")
CONFIG = {"ops": {"eta_model": {"config": {"trees": 25, "backtest_folds": 2}}}}


def train(instance: DagsterInstance, *names: str):
    return materialize(
        [*assets, *checks],
        selection=list(names),
        instance=instance,
        resources=resources_from_settings(get_settings()),
        run_config=CONFIG if "eta_model" in names else None,
        raise_on_error=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, spark):
    """Return a home folder in which one training ran, its Dagster instance and the result."""
    home = tmp_path_factory.mktemp("trained")
    for seed, month in enumerate(MONTHS):
        write_silver(home, month, random_trips(4_000, seed=seed, month=month))
    with pytest.MonkeyPatch.context() as patch, DagsterInstance.ephemeral() as instance:
        patch.setenv("LOGITRACK_HOME", str(home))
        get_settings.cache_clear()
        yield home, instance, train(instance, "eta_model", "eta_champion")
    get_settings.cache_clear()


def test_candidate_that_passes_all_gates_becomes_champion(trained):
    home, _, result = trained
    assert result.success
    models = ModelRegistry(home / "models")
    champion = models.champion()
    assert champion is not None
    assert [champion.version] == models.versions()
    assert "checks passed" in champion.reason
    checked = {evaluation.check_name for evaluation in result.get_asset_check_evaluations()}
    assert checked >= set(GATES)
    manifest = models.manifest(champion.version)
    assert manifest.training_months == list(MONTHS)
    assert manifest.trained_through == "2019-05"
    assert manifest.metrics.distance.mae_minutes < manifest.metrics.zones.mae_minutes < 30
    assert models.card(champion.version).startswith(f"# ETA model {champion.version}")
    (promotion,) = result.asset_materializations_for_node("eta_champion")
    assert (promotion.tags or {})[DATA_VERSION_TAG] == UNVERSIONED.value, "a promotion leaves drift in sync"


def test_metadata_has_metrics_plots_and_backtest(trained):
    _, _, result = trained
    metadata = result.asset_materializations_for_node("eta_model")[0].metadata
    for name in ("error_by_hour", "predicted_against_real", "coverage_by_hour", "backtest"):
        assert metadata[name].value.startswith(f"![{name}](data:image/png;base64,")
    assert "all months" in metadata["backtest_table"].value
    assert metadata["mae_minutes"].value > 0
    assert metadata["fitting_seconds"].value > 0, "a number that Dagster charts"


@pytest.mark.long
def test_same_months_and_seed_give_the_same_predictions(trained, spark):
    home, _, _ = trained
    models = ModelRegistry(home / "again")
    again = train_candidate(spark, Lake(home), models, TrainingOptions(trees=25, folds=2))
    first = ModelRegistry(home / "models")
    trips = random_trips(500, seed=77).batch
    one, other = first.load(first.versions()[0]), models.load(again.manifest.version)
    assert (one.minutes(trips) == other.minutes(trips)).all()
    assert one.intervals.quantiles.tolist() == other.intervals.quantiles.tolist()


def test_failed_gate_keeps_the_champion_and_lists_the_candidate_as_rejected(trained, monkeypatch):
    home, instance, _ = trained
    models = ModelRegistry(home / "models")
    before = models.champion()
    monkeypatch.setattr("logitrack_assets.eta.evaluation.gates.MAX_PARITY_ERROR_MINUTES", -1.0)
    result = train(instance, "eta_model", "eta_champion")
    assert not result.success
    assert not result.asset_materializations_for_node("eta_champion")
    assert models.champion() == before
    rejected = models.listed()[0]
    assert rejected.status == "rejected"
    assert "serving_parity" in rejected.reason
    assert not train(instance, "eta_champion").success
    assert models.champion() == before
    assert AssetKey("eta_model") in instance.all_asset_keys()


@pytest.mark.parametrize(
    ("months", "count", "message"),
    [
        ((), 0, "There are no valid trips to train on"),
        (("2019-03",), 3_000, "One month of trips \\(2019-03\\) is too little"),
        (("2019-03", "2019-04"), 500, "Too few trips to train: 500 in 1 months"),
    ],
)
def test_too_few_trips_raise_and_nothing_is_published(tmp_path: Path, spark, months, count, message):
    for month in months:
        write_silver(tmp_path, month, random_trips(count, month=month))
    models = ModelRegistry(tmp_path / "models")
    with pytest.raises(TrainingError, match=message):
        train_candidate(spark, Lake(tmp_path), models, TrainingOptions())
    assert models.versions() == []


@pytest.mark.long
def test_trips_of_one_hour_and_without_one_zone_make_a_valid_model(tmp_path: Path, spark):
    """Train where every hour feature is constant and one zone has no trip."""
    for seed, month in enumerate(("2019-03", "2019-04")):
        trips = random_trips(2_500, seed=seed, month=month)
        hour = trips.batch.pickup_at.astype("datetime64[D]") + np.timedelta64(8 * 3600, "s")
        keep = (trips.batch.pickup_zone != 161) & (trips.batch.dropoff_zone != 161)
        batch = type(trips.batch)(
            trips.batch.pickup_zone, trips.batch.dropoff_zone, hour.astype("datetime64[s]"),
            trips.batch.distance_miles, trips.batch.fleet,
        )  # fmt: skip
        write_silver(tmp_path, month, TripDataset(trips.row, batch, trips.minutes).take(keep))
    models = ModelRegistry(tmp_path / "models")
    candidate = train_candidate(spark, Lake(tmp_path), models, TrainingOptions(trees=10, folds=1))
    predictor = models.load(candidate.manifest.version)
    prediction = predictor.predict(random_trips(50, seed=3).batch)
    assert np.isfinite(prediction.minutes).all()
    assert predictor.tables.support[161].sum() == 0
