"""`logitrack demo` goes from trips to a prediction with one command and leaves no process."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_tests.end_to_end.conftest import MONTHS, ROWS_PER_MONTH, Installation

Demo = tuple[Installation, subprocess.CompletedProcess[str], float]


def test_report_accounts_for_every_row(demo: Demo) -> None:
    installation, result, _ = demo
    report = json.loads((installation.home / "demo.json").read_text())
    rows = report["rows"]
    assert rows["read"] == len(MONTHS) * ROWS_PER_MONTH
    assert rows["read"] == rows["kept"] + rows["rejected"]
    assert rows["rejected"] == sum(rows["rejected_by_rule"].values()) > 0
    assert f"{rows['kept']:,}" in result.stdout


def test_report_has_the_prediction_of_the_champion(demo: Demo) -> None:
    installation, _, _ = demo
    report = json.loads((installation.home / "demo.json").read_text())
    champion = ModelRegistry(installation.home / "models").champion()
    assert champion is not None
    prediction = report["prediction"]["answer"]
    assert prediction["model_version"] == report["model"]["version"] == champion.version
    low, high = prediction["interval"]["low_minutes"], prediction["interval"]["high_minutes"]
    assert 15 < low < prediction["estimated_duration_minutes"] < high < 150  # Midtown to JFK in the evening rush
    metrics = report["model"]["metrics"]
    assert metrics["zones"]["mae_minutes"] < metrics["lookup"]["mae_minutes"]


def test_report_has_source_and_seconds_of_each_asset(demo: Demo) -> None:
    report = json.loads((demo[0].home / "demo.json").read_text())
    assert report["source"].endswith("sample")
    seconds = report["seconds_by_asset"]
    assert {"bronze_trips", "silver_trips", "analytics_sample", "eta_model", "eta_champion"} <= set(seconds)
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) <= demo[2], "no duration counts twice"


def test_materialization_ends_with_the_quality_of_the_champion(demo: Demo) -> None:
    output = demo[1].stdout
    assert re.search(r"Champion \d{8}T\d{6}-\w{6}\n  MAE \d\.\d\d minutes from zones only, ", output), output


def test_demo_leaves_no_process(demo: Demo) -> None:
    assert demo[0].none_left()


def test_lake_has_every_month_as_silver_and_rejected_rows(demo: Demo) -> None:
    lake = Lake(demo[0].home)
    assert lake.silver_months() == MONTHS
    for month in lake.silver_months():
        rows = pq.read_table(lake.silver(month), columns=["fleet"]).num_rows
        rejected = pq.read_table(lake.rejected(month), columns=["rule"])
        assert rows + rejected.num_rows == ROWS_PER_MONTH
        assert rejected["rule"].null_count == 0


def test_file_of_trips_is_predicted_in_its_order(demo: Demo, tmp_path: Path) -> None:
    installation = demo[0]
    file = tmp_path / "trips.csv"
    file.write_text(
        "pickup_zone,dropoff_zone,pickup_at,distance_miles\n"
        "161,132,2020-01-15T17:30:00,17.5\n"
        "161,162,2020-01-15T17:30:00,\n"
        "132,161,2020-01-15T03:00:00,\n"
    )
    result = installation.run("predict", str(file), "-o", str(tmp_path / "predictions.csv"))
    assert result.returncode == 0, result.stderr
    predictions = pyarrow.csv.read_csv(tmp_path / "predictions.csv").to_pydict()
    minutes = predictions["estimated_duration_minutes"]
    assert minutes[0] > minutes[2] > minutes[1], "JFK in the rush hour, JFK at night, the neighbouring zone"
    for low, middle, high in zip(
        predictions["interval_low_minutes"], minutes, predictions["interval_high_minutes"], strict=True
    ):
        assert low < middle < high
    assert len(set(predictions["model_version"])) == 1


def test_model_list_and_show(demo: Demo) -> None:
    installation = demo[0]
    champion = ModelRegistry(installation.home / "models").champion()
    assert champion is not None
    listed = installation.run("model", "list")
    assert champion.version in listed.stdout
    assert "champion" in listed.stdout
    shown = installation.run("model", "show", champion.version)
    assert "2019" in shown.stdout
    assert installation.run("model", "show").stdout == shown.stdout
    missing = installation.run("model", "show", "20010101T000000-abcdef")
    assert missing.returncode == 1
    assert "There is no model" in missing.stderr
    assert "Traceback" not in missing.stderr
