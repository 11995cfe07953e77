"""Scoring of files: predictions in the input's order, or an error that names the invalid row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.file_scoring import ADDED, ScoringError, score_file
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish_version, random_trips


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    models = ModelRegistry(tmp_path_factory.mktemp("models"))
    return models.load(publish_version(models, zones=12.0, distance=9.0))


def rides(**changes):
    columns = {
        "ride": ["b", "a", "c"],
        "pickup_zone": [161, 132, 4],
        "dropoff_zone": [236, 161, 5],
        "pickup_at": ["2019-06-03T08:30:00", "2019-06-03 09:30", "2019-06-03T12:30:00Z"],
        "distance_miles": [None, 17.5, 0.0],
    }
    return pa.table({name: values for name, values in (columns | changes).items() if values is not None})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_output_keeps_the_order_and_columns_of_the_input(tmp_path, predictor, suffix):
    source, output = tmp_path / f"rides{suffix}", tmp_path / f"predictions{suffix}"
    (pq.write_table if suffix == ".parquet" else pa.csv.write_csv)(rides(), source)
    assert score_file(source, output, predictor) == 3
    found = (pq.read_table if suffix == ".parquet" else pa.csv.read_csv)(output)
    assert found.column_names == [*rides().column_names, *ADDED]
    assert found["ride"].to_pylist() == ["b", "a", "c"]
    assert found["estimated_duration_minutes"].to_pylist() == pytest.approx([12, 9, 12], abs=1e-3)
    assert set(found["model_version"].to_pylist()) == {predictor.version}
    low, high = (np.array(found[name].to_pylist()) for name in ADDED[1:3])
    assert (low < high).all()


def test_file_of_several_batches_equals_one_prediction(tmp_path, predictor):
    trips = random_trips(120_000).batch
    table = pa.table(
        {
            "pickup_zone": trips.pickup_zone,
            "dropoff_zone": trips.dropoff_zone,
            "pickup_at": trips.pickup_at,
            "distance_miles": trips.distance_miles,
        }
    )
    pq.write_table(table, tmp_path / "rides.parquet")
    score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor)
    found = pq.read_table(tmp_path / "predictions.parquet")
    assert found["pickup_zone"].to_numpy().tolist() == trips.pickup_zone.tolist()
    assert found["estimated_duration_minutes"].to_numpy() == pytest.approx(predictor.minutes(trips), abs=1e-3)


def test_instants_are_converted_to_the_wall_clock(tmp_path, predictor, monkeypatch):
    received: list[TripBatch] = []
    real = predictor.predict

    def predict(trips: TripBatch, *, level: float):
        received.append(trips)
        return real(trips, level=level)

    monkeypatch.setattr(predictor, "predict", predict)
    aware = pa.array(np.array(["2019-06-03T12:30:00"] * 3, dtype="datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
    for moments in (["2019-06-03T12:30:00Z"] * 3, aware, ["2019-06-03T08:30:00"] * 3):
        pq.write_table(rides(pickup_at=moments), tmp_path / "rides.parquet")
        score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor)
    for trips in received:
        assert set(trips.pickup_at.astype(str)) == {"2019-06-03T08:30:00"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pickup_zone": None}, "has no column pickup_zone"),
        ({"pickup_zone": [161, 264, 4]}, "Row 2: pickup_zone is 264"),
        ({"pickup_zone": [161, None, 4]}, "Row 2: pickup_zone is None"),
        ({"dropoff_zone": ["Midtown", "1", "2"]}, "Row 1: dropoff_zone is 'Midtown'"),
        ({"pickup_at": ["2019-06-03", "soon", "2019-06-03"]}, "Row 2: pickup_at is 'soon'"),
        ({"fleet": ["yellow", "pink", "green"]}, "Row 2: fleet is 'pink'; it is yellow or green"),
        ({"model_version": ["x"] * 3}, "already has a column model_version"),
        ({"distance_miles": ["far"] * 3}, "distance_miles must be numbers"),
    ],
)
def test_invalid_value_is_named_and_nothing_is_written(tmp_path, predictor, changes, message):
    pq.write_table(rides(**changes), tmp_path / "rides.parquet")
    with pytest.raises(ScoringError, match=message):
        score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor)
    assert [path.name for path in tmp_path.iterdir()] == ["rides.parquet"]


def test_unreadable_or_unsupported_files_raise(tmp_path, predictor):
    (tmp_path / "rides.parquet").write_bytes(b"PAR1 no")
    for source, output, message in (
        ("rides.parquet", "out.parquet", "cannot be read"),
        ("none.parquet", "out.parquet", "does not exist"),
        ("rides.parquet", "out.xlsx", "written as .parquet or .csv"),
        ("rides.xlsx", "out.csv", "read from .parquet or .csv"),
    ):
        with pytest.raises(ScoringError, match=message):
            score_file(tmp_path / source, tmp_path / output, predictor)


def test_empty_file_gives_an_empty_file_with_all_columns(tmp_path, predictor):
    pq.write_table(rides().slice(0, 0), tmp_path / "rides.parquet")
    assert score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor) == 0
    assert pq.read_table(tmp_path / "predictions.parquet").column_names[-4:] == list(ADDED)
