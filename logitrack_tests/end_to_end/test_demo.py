"""From nothing to an answered prediction with one command, and back to nothing running."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_tests.end_to_end.conftest import Installation

Demo = tuple[Installation, subprocess.CompletedProcess[str], float]


def test_the_report_accounts_for_every_row(demo: Demo) -> None:
    installation, said, _ = demo
    report = json.loads((installation.home / "demo.json").read_text())
    rows = report["rows"]
    assert rows["read"] == 120_000  # the packaged sample: 10,000 a month
    assert rows["read"] == rows["kept"] + rows["rejected"]
    assert rows["rejected"] == sum(rows["rejected_by_rule"].values()) > 0
    assert f"{rows['kept']:,}" in said.stdout


def test_the_report_holds_the_answer_of_the_champion(demo: Demo) -> None:
    installation, _, _ = demo
    report = json.loads((installation.home / "demo.json").read_text())
    champion = ModelRegistry(installation.home / "models").champion()
    assert champion is not None
    answer = report["prediction"]["answer"]
    assert answer["model_version"] == report["model"]["version"] == champion.version
    low, high = answer["interval"]["low_minutes"], answer["interval"]["high_minutes"]
    assert 15 < low < answer["estimated_duration_minutes"] < high < 150  # Midtown to JFK in the evening rush
    metrics = report["model"]["metrics"]
    assert metrics["zones"]["mae_minutes"] < metrics["lookup"]["mae_minutes"]


def test_the_report_names_source_and_seconds_of_each_asset(demo: Demo) -> None:
    report = json.loads((demo[0].home / "demo.json").read_text())
    assert report["source"].endswith("sample")
    seconds = report["seconds_by_asset"]
    assert {"bronze_trips", "silver_trips", "analytics_sample", "eta_model", "eta_champion"} <= set(seconds)
    assert all(value > 0 for value in seconds.values())


def test_it_leaves_no_process_behind(demo: Demo) -> None:
    assert demo[0].none_left()


def test_the_lake_holds_every_month_with_both_sides(demo: Demo) -> None:
    lake = Lake(demo[0].home)
    assert lake.silver_months() == [f"2019-{month:02d}" for month in range(1, 13)]
    for month in lake.silver_months():
        rows = sum(pq.read_table(lake.silver(month), columns=["fleet"]).num_rows for _ in range(1))
        rejected = pq.read_table(lake.rejected(month), columns=["rule"])
        assert rows + rejected.num_rows == 10_000
        assert rejected["rule"].null_count == 0


def test_a_file_of_rides_is_answered_in_its_order(demo: Demo, tmp_path: Path) -> None:
    installation = demo[0]
    asked = tmp_path / "rides.csv"
    asked.write_text(
        "pickup_zone,dropoff_zone,pickup_at,distance_miles\n"
        "161,132,2020-01-15T17:30:00,17.5\n"
        "161,162,2020-01-15T17:30:00,\n"
        "132,161,2020-01-15T03:00:00,\n"
    )
    said = installation.run("predict", str(asked), "-o", str(tmp_path / "answers.csv"))
    assert said.returncode == 0, said.stderr
    answers = pyarrow.csv.read_csv(tmp_path / "answers.csv").to_pydict()
    minutes = answers["estimated_duration_minutes"]
    assert minutes[0] > minutes[2] > minutes[1], "JFK in the rush, JFK at night, around the corner"
    for low, middle, high in zip(
        answers["interval_low_minutes"], minutes, answers["interval_high_minutes"], strict=True
    ):
        assert low < middle < high
    assert len(set(answers["model_version"])) == 1


def test_models_can_be_listed_and_shown(demo: Demo) -> None:
    installation = demo[0]
    champion = ModelRegistry(installation.home / "models").champion()
    assert champion is not None
    listed = installation.run("model", "list")
    assert champion.version in listed.stdout
    assert "champion" in listed.stdout
    shown = installation.run("model", "show", champion.version)
    assert "2019" in shown.stdout
    missing = installation.run("model", "show", "20010101T000000-abcdef")
    assert missing.returncode == 1
    assert "There is no model" in missing.stderr
    assert "Traceback" not in missing.stderr
