"""`logitrack predict`: the summary on the terminal, and the exit code of a file with invalid rows."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from logitrack_assets.commands.predictions import predict_file
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import Settings
from logitrack_tests.eta.examples import publish_version

GOOD, BAD = "161,236,2019-06-03T08:30:00", "161,999,2019-06-03T08:30:00"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models = ModelRegistry(tmp_path / "models")
    models.promote(publish_version(models), by="ada", reason="first")
    return Settings(home=tmp_path)


def _predict(settings: Settings, *rows: str, strict: bool = False) -> str:
    """Return what the command prints for a file of these rows."""
    source = settings.home / "rides.csv"
    source.write_text("\n".join(["pickup_zone,dropoff_zone,pickup_at", *rows]) + "\n")
    console = Console(file=io.StringIO(), width=80)
    try:
        predict_file(settings, source, settings.home / "out.csv", console, strict=strict)
    finally:
        assert len((settings.home / "out.csv").read_text().splitlines()) == len(rows) + 1
    return console.file.getvalue()


def test_summary_counts_predictions_and_names_bad_rows(settings: Settings) -> None:
    printed = _predict(settings, GOOD, BAD, GOOD)
    assert printed.startswith("2 of 3 trips predicted by ")
    assert "\n  Row 2: dropoff_zone is '999'; a zone is a whole number from 1 to 263\n" in printed


def test_further_errors_are_counted(settings: Settings) -> None:
    assert "\n  … and 2 more.\n" in _predict(settings, GOOD, *[BAD] * 12)


def test_file_without_any_prediction_is_an_error_and_is_written(settings: Settings) -> None:
    with pytest.raises(LogitrackError, match=r"2 of 2 trips have no prediction\. The column `error` of .*out\.csv"):
        _predict(settings, BAD, BAD)


def test_strict_makes_any_bad_row_an_error(settings: Settings) -> None:
    with pytest.raises(LogitrackError, match="1 of 2 trips have no prediction"):
        _predict(settings, GOOD, BAD, strict=True)
    assert "2 of 2" in _predict(settings, GOOD, GOOD, strict=True)


def test_empty_file_is_no_error(settings: Settings) -> None:
    assert _predict(settings).startswith("0 of 0 trips predicted")
