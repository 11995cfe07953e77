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
    summary = score_file(source, output, predictor)
    assert (summary.rows, summary.failed, summary.errors) == (3, 0, [])
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
        ({"model_version": ["x"] * 3}, "already has a column model_version"),
        ({"error": ["x"] * 3}, "already has a column error"),
    ],
)
def test_unusable_columns_are_named_and_nothing_is_written(tmp_path, predictor, changes, message):
    pq.write_table(rides(**changes), tmp_path / "rides.parquet")
    with pytest.raises(ScoringError, match=message):
        score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor)
    assert [path.name for path in tmp_path.iterdir()] == ["rides.parquet"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(
    ("changes", "row", "message"),
    [
        ({"pickup_zone": ["161", "264", "4"]}, 2, "pickup_zone is '264'; a zone is a whole number from 1 to 263"),
        ({"pickup_zone": ["161", None, "4"]}, 2, "pickup_zone is None; a zone is a whole number from 1 to 263"),
        ({"dropoff_zone": ["Midtown", "1", "2"]}, 1, "dropoff_zone is 'Midtown'; a zone is a whole number"),
        ({"dropoff_zone": ["1", "2", "2.5"]}, 3, "dropoff_zone is '2.5'; a zone is a whole number"),
        ({"pickup_at": ["2019-06-03", "soon", "2019-06-03"]}, 2, "pickup_at is 'soon'; a time looks like"),
        ({"fleet": ["yellow", "pink", None]}, 2, "fleet is 'pink'; it is yellow or green"),
        ({"distance_miles": ["1", None, "far"]}, 3, "distance_miles is 'far'; a distance is a number of miles"),
    ],
)
def test_good_rows_are_predicted_and_the_bad_one_is_named(tmp_path, predictor, suffix, changes, row, message):
    source, output = tmp_path / f"rides{suffix}", tmp_path / "predictions.parquet"
    (pq.write_table if suffix == ".parquet" else pa.csv.write_csv)(rides(**changes), source)
    summary = score_file(source, output, predictor)
    assert (summary.rows, summary.predicted, summary.failed) == (3, 2, 1)
    assert len(summary.errors) == 1
    assert summary.errors[0].startswith(f"Row {row}: {message}")
    found = pq.read_table(output).to_pylist()
    assert [line["ride"] for line in found] == ["b", "a", "c"]
    bad = found.pop(row - 1)
    assert bad["error"].startswith(message)
    assert [bad[name] for name in ADDED[:-1]] == [None] * 6
    for line in found:
        assert line["error"] is None
        assert line["estimated_duration_minutes"] == pytest.approx(9 if line["distance_miles"] else 12, abs=3.1)
        assert line["model_version"] == predictor.version


@pytest.mark.parametrize("zones", [[161, 264, 4], [161, None, 4], [161, 2.5, 4]])
def test_numbers_that_are_not_zones_are_errors_of_their_rows(tmp_path, predictor, zones):
    pq.write_table(rides(pickup_zone=zones), tmp_path / "rides.parquet")
    summary = score_file(tmp_path / "rides.parquet", tmp_path / "out.parquet", predictor)
    assert summary.failed == 1
    assert summary.errors[0].startswith(f"Row 2: pickup_zone is {zones[1]}; ")


def test_all_errors_of_a_row_are_named_and_the_first_rows_are_listed(tmp_path, predictor):
    lines = [f"{zone},0,never" for zone in (1, 264, *range(265, 280))]
    (tmp_path / "rides.csv").write_text("\n".join(["pickup_zone,dropoff_zone,pickup_at", *lines]) + "\n")
    summary = score_file(tmp_path / "rides.csv", tmp_path / "out.csv", predictor)
    assert (summary.rows, summary.predicted) == (17, 0)
    assert len(summary.errors) == 10
    assert summary.errors[0].startswith("Row 1: dropoff_zone is '0'; ")
    assert all(f"{name} is" in summary.errors[1] for name in ("pickup_zone", "dropoff_zone", "pickup_at"))


def test_bad_row_after_the_first_block_of_a_csv_file_is_an_error_of_that_row(tmp_path, predictor):
    """Types inferred from the first megabyte made it an error of the whole file."""
    lines = ["1,2,2019-06-03T08:30:00,3.5"] * 60_000 + ["Midtown,2,2019-06-03T08:30:00,far"]
    header = "pickup_zone,dropoff_zone,pickup_at,distance_miles"
    (tmp_path / "rides.csv").write_text("\n".join([header, *lines]) + "\n")
    summary = score_file(tmp_path / "rides.csv", tmp_path / "out.csv", predictor)
    assert (summary.rows, summary.failed) == (60_001, 1)
    assert summary.errors[0].startswith("Row 60001: pickup_zone is 'Midtown'; ")
    assert "distance_miles is 'far'" in summary.errors[0]


def test_columns_of_a_csv_file_are_kept_as_they_are(tmp_path, predictor):
    text = 'ride,pickup_zone,dropoff_zone,pickup_at,note\n007,161,236,2019-06-03T08:30,"a, b"\nNA,161,236,2019-06-03,\n'
    (tmp_path / "rides.csv").write_text(text)
    score_file(tmp_path / "rides.csv", tmp_path / "out.csv", predictor)
    header, *lines = (tmp_path / "out.csv").read_text().splitlines()
    assert header.replace('"', "").split(",") == [*text.splitlines()[0].split(","), *ADDED]
    for line, written in zip(text.splitlines()[1:], lines, strict=True):
        assert written.startswith(line + ",")


def test_support_and_extrapolation_are_written(tmp_path, predictor):
    pq.write_table(rides(), tmp_path / "rides.parquet")
    score_file(tmp_path / "rides.parquet", tmp_path / "out.parquet", predictor)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["support"].to_pylist() == [400, 0, 0]
    assert found["extrapolating"].to_pylist() == [False, True, True]


def test_missing_fleet_is_the_first_of_the_model(tmp_path):
    models = ModelRegistry(tmp_path / "models")
    predictor = models.load(publish_version(models, fleets=("green",)))
    pq.write_table(rides(fleet=["green", "yellow", None]), tmp_path / "rides.parquet")
    score_file(tmp_path / "rides.parquet", tmp_path / "out.parquet", predictor)
    support = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert support["extrapolating"] == [False, True, True]
    pq.write_table(rides(pickup_zone=[161] * 3, dropoff_zone=[236] * 3), tmp_path / "rides.parquet")
    score_file(tmp_path / "rides.parquet", tmp_path / "out.parquet", predictor)
    assert pq.read_table(tmp_path / "out.parquet")["extrapolating"].to_pylist() == [False] * 3


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
    assert score_file(tmp_path / "rides.parquet", tmp_path / "predictions.parquet", predictor).rows == 0
    assert pq.read_table(tmp_path / "predictions.parquet").column_names[-len(ADDED) :] == list(ADDED)
