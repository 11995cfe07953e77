"""The first load takes what the source has, and the partitions begin and end with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from logitrack_assets.commands.first_load import plan_first_load, stack_environment
from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import monthly_partitions
from logitrack_assets.settings import Settings


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the green months of 2020 to 2024."""
    folder = tmp_path / "source"
    (folder / "trip-data").mkdir(parents=True)
    for year in range(2020, 2025):
        for month in range(1, 13):
            (folder / "trip-data" / f"green_tripdata_{year}-{month:02d}.parquet").write_bytes(b"")
    return folder


def _settings(tmp_path: Path, **values: object) -> Settings:
    return Settings.model_validate({"home": tmp_path / "home", **values})


def test_first_load_is_the_newest_year_of_a_folder(tmp_path: Path, source: Path) -> None:
    settings = _settings(tmp_path, tlc_url=str(source), fleets="green")
    environment = stack_environment(settings)
    assert environment["LOGITRACK_FIRST_MONTH"] == "2020-01"
    assert "LOGITRACK_LAST_MONTH" not in environment, "a folder can grow"
    load = plan_first_load(settings, environment)
    assert load.option == "2024-01:2024-12"
    assert load.earlier == "2023-12"


def test_first_load_has_a_window_and_keeps_gaps(tmp_path: Path, source: Path) -> None:
    (source / "trip-data" / "green_tripdata_2024-06.parquet").unlink()
    settings = _settings(tmp_path, tlc_url=str(source), fleets="green", first_load_months=24)
    load = plan_first_load(settings, stack_environment(settings))
    assert load.option == "2022-12:2024-05,2024-07:2024-12"
    assert len(load.months) == 24


def test_first_load_stays_within_the_partitions(tmp_path: Path, source: Path) -> None:
    limits = {"first_month": "2021-03", "last_month": "2021-05"}
    settings = _settings(tmp_path, tlc_url=str(source), fleets="green", **limits)
    load = plan_first_load(settings, stack_environment(settings))
    assert load.option == "2021-03:2021-05"
    assert load.earlier is None


def test_packaged_sample_fills_its_partitions(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    environment = stack_environment(settings)
    load = plan_first_load(settings, environment)
    assert load.option == "2019-01:2019-12"
    assert load.earlier is None
    partitions = monthly_partitions(environment["LOGITRACK_FIRST_MONTH"], environment["LOGITRACK_LAST_MONTH"])
    assert partitions.get_partition_keys() == load.months


def test_months_in_the_lake_have_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lake, "silver_months", lambda _: ["2018-05", "2023-02"])
    environment = stack_environment(_settings(tmp_path))
    assert environment["LOGITRACK_FIRST_MONTH"] == "2018-05"
    assert environment["LOGITRACK_LAST_MONTH"] == "2023-02"


def test_source_without_months_of_the_fleets_is_reported(tmp_path: Path, source: Path) -> None:
    settings = _settings(tmp_path, tlc_url=str(source), fleets="yellow")
    with pytest.raises(LogitrackError, match=r"no file of yellow from 2011-01 to"):
        plan_first_load(settings, stack_environment(settings))


def test_environment_has_what_dagster_needs_to_act_like_up(tmp_path: Path, source: Path) -> None:
    environment = stack_environment(_settings(tmp_path, tlc_url=str(source), fleets="green,yellow"))
    assert environment["LOGITRACK_TLC_URL"] == str(source)
    assert environment["LOGITRACK_FLEETS"] == "green,yellow"
    assert environment["DAGSTER_HOME"] == str(tmp_path / "home" / "dagster")
    assert stack_environment(_settings(tmp_path))["LOGITRACK_TLC_URL"].endswith("sample")
