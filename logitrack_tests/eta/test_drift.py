"""The months of 2019 are like those of 2018; March and April 2020 are like none before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from logitrack_assets.eta.drift import Reference, Thresholds, histograms, measure, stability_index
from logitrack_assets.eta.features import TripBatch
from logitrack_tests.eta.examples import FACTS, some_trips


def published_trips(tlc: Path, fleet: str, month: str) -> TripBatch:
    """Trips between zones of a published month; enough cleaning for the inputs that drift looks at."""
    prefix = {"yellow": "tpep", "green": "lpep"}[fleet]
    names = ["PULocationID", "DOLocationID", f"{prefix}_pickup_datetime", "trip_distance"]
    table = pq.read_table(tlc / "trip-data" / f"{fleet}_tripdata_{month}.parquet", columns=names)
    pickup, dropoff = (table[name].to_numpy().astype(np.int64) for name in names[:2])
    moments = table[names[2]].to_numpy().astype("datetime64[s]")
    keep = (pickup <= 263) & (dropoff <= 263) & (moments.astype("datetime64[M]") == np.datetime64(month, "M"))
    return TripBatch.from_columns(pickup[keep], dropoff[keep], moments[keep], table[names[3]].to_numpy()[keep], fleet)


@pytest.fixture(scope="module")
def of_2018(published: Path) -> Reference:
    counts = [histograms(published_trips(published, "yellow", f"2018-{month:02d}")) for month in range(1, 13)]
    shares = {name: np.sum([month[name] for month in counts], axis=0).tolist() for name in counts[0]}
    return Reference({"yellow": shares}, {"yellow": 9_700.0}, 3.5)


def drifted(reference: Reference, trips: TripBatch, *, volume: int = 9_700, mae: float = 3.5) -> set[str]:
    error = FACTS.model_copy(update={"mae_minutes": mae})
    return {f.measure for f in measure(reference, "yellow", trips, volume, error, Thresholds()) if f.drifted}


@pytest.mark.parametrize("month", [f"2019-{month:02d}" for month in range(1, 13)])
def test_no_month_of_2019_drifts(of_2018, published, month):
    assert drifted(of_2018, published_trips(published, "yellow", month)) == set()


def test_march_and_april_2020_drift(of_2018, published):
    assert "psi third_of_month" in drifted(of_2018, published_trips(published, "yellow", "2020-03"))
    assert "psi hour" in drifted(of_2018, published_trips(published, "yellow", "2020-04"))


def test_trips_that_vanish_and_errors_that_grow_are_drift(of_2018, published):
    trips = published_trips(published, "yellow", "2019-01")
    assert drifted(of_2018, trips, volume=4_000) == {"volume ratio"}
    assert drifted(of_2018, trips, volume=20_000) == {"volume ratio"}
    assert drifted(of_2018, trips, mae=5.0) == {"error ratio"}
    assert drifted(of_2018, trips, mae=2.0) == set()


def test_a_fleet_that_the_champion_never_saw_drifts_as_a_whole(of_2018):
    trips = some_trips(fleet="green").batch
    assert [f.measure for f in measure(of_2018, "green", trips, 10, FACTS, Thresholds())] == ["unknown fleet"]


def test_the_index_is_that_of_the_definition():
    assert stability_index(np.array([50.0, 50.0]), np.array([1.0, 1.0])) == 0
    expected = (0.75 - 0.5) * np.log(0.75 / 0.5) + (0.25 - 0.5) * np.log(0.25 / 0.5)
    assert stability_index(np.array([1.0, 1.0]), np.array([3.0, 1.0])) == pytest.approx(expected)
    assert np.isfinite(stability_index(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_a_reference_survives_the_disk(of_2018, tmp_path):
    of_2018.save(tmp_path / "reference.json")
    assert Reference.load(tmp_path / "reference.json") == of_2018
