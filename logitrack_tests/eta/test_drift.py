"""Drift measures on published months: 2019 against 2018 is stable, March and April 2020 drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from logitrack_assets.eta.drift import DriftReference, DriftThresholds, histograms, measure_drift, stability_index
from logitrack_assets.eta.features import TripBatch
from logitrack_tests.eta.examples import ERRORS, random_trips


def published_trips(tlc: Path, fleet: str, month: str) -> TripBatch:
    """Return the trips between taxi zones of a published month, cleaned as far as drift measures need."""
    prefix = {"yellow": "tpep", "green": "lpep"}[fleet]
    names = ["PULocationID", "DOLocationID", f"{prefix}_pickup_datetime", "trip_distance"]
    table = pq.read_table(tlc / "trip-data" / f"{fleet}_tripdata_{month}.parquet", columns=names)
    pickup, dropoff = (table[name].to_numpy().astype(np.int64) for name in names[:2])
    moments = table[names[2]].to_numpy().astype("datetime64[s]")
    keep = (pickup <= 263) & (dropoff <= 263) & (moments.astype("datetime64[M]") == np.datetime64(month, "M"))
    return TripBatch.from_columns(pickup[keep], dropoff[keep], moments[keep], table[names[3]].to_numpy()[keep], fleet)


@pytest.fixture(scope="module")
def reference_2018(published: Path) -> DriftReference:
    counts = [histograms(published_trips(published, "yellow", f"2018-{month:02d}")) for month in range(1, 13)]
    shares = {name: np.sum([month[name] for month in counts], axis=0).tolist() for name in counts[0]}
    return DriftReference({"yellow": shares}, {"yellow": 9_700.0}, 3.5)


def drifted(reference: DriftReference, trips: TripBatch, *, volume: int = 9_700, mae: float = 3.5) -> set[str]:
    error = ERRORS.model_copy(update={"mae_minutes": mae})
    return {f.measure for f in measure_drift(reference, "yellow", trips, volume, error, DriftThresholds()) if f.drifted}


@pytest.mark.parametrize("month", [f"2019-{month:02d}" for month in range(1, 13)])
def test_months_of_2019_do_not_drift(reference_2018, published, month):
    assert drifted(reference_2018, published_trips(published, "yellow", month)) == set()


def test_march_and_april_2020_drift(reference_2018, published):
    assert "psi third_of_month" in drifted(reference_2018, published_trips(published, "yellow", "2020-03"))
    assert "psi hour" in drifted(reference_2018, published_trips(published, "yellow", "2020-04"))


def test_volume_changes_and_error_increases_are_drift(reference_2018, published):
    trips = published_trips(published, "yellow", "2019-01")
    assert drifted(reference_2018, trips, volume=4_000) == {"volume ratio"}
    assert drifted(reference_2018, trips, volume=20_000) == {"volume ratio"}
    assert drifted(reference_2018, trips, mae=5.0) == {"error ratio"}
    assert drifted(reference_2018, trips, mae=2.0) == set()


def test_fleet_absent_from_training_is_a_single_measurement(reference_2018):
    trips = random_trips(fleet="green").batch
    assert [f.measure for f in measure_drift(reference_2018, "green", trips, 10, ERRORS, DriftThresholds())] == [
        "unknown fleet"
    ]


def test_stability_index_follows_its_definition():
    assert stability_index(np.array([50.0, 50.0]), np.array([1.0, 1.0])) == 0
    expected = (0.75 - 0.5) * np.log(0.75 / 0.5) + (0.25 - 0.5) * np.log(0.25 / 0.5)
    assert stability_index(np.array([1.0, 1.0]), np.array([3.0, 1.0])) == pytest.approx(expected)
    assert np.isfinite(stability_index(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_reference_round_trips_through_its_file(reference_2018, tmp_path):
    reference_2018.save(tmp_path / "reference.json")
    assert DriftReference.load(tmp_path / "reference.json") == reference_2018
