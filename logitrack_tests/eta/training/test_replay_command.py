"""`logitrack replay`: months of the source, cleaned as for the lake, and nothing kept of them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from logitrack_assets.commands.replay import ReplayOptions, replay_months
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import Settings
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def settings(tmp_path: Path, tlc_folder: Path) -> Settings:
    models = ModelRegistry(tmp_path / "models")
    models.promote(publish_version(models, trained_through="2019-06"), by="ada", reason="first")
    return Settings(home=tmp_path, tlc_url=str(tlc_folder))


def options(month: str) -> ReplayOptions:
    return ReplayOptions([month], ["yellow"], thin=0.05, late_minutes=15, liars=0, version=None)


def test_a_month_is_replayed_and_left_out_of_the_lake(spark: SparkSession, settings: Settings) -> None:
    console = Console(file=io.StringIO(), width=200)
    output = settings.home / "replay.json"
    replay_months(settings, options("2019-08"), output, console)
    figures = json.loads(output.read_text())
    assert 350 < figures["trips"] < 650
    assert figures["variants"]["zones"]["overall"]["trips"] == figures["trips"]
    assert {row["month"] for row in figures["variants"]["zones"]["by_month"]} == {"2019-08"}
    assert "zones only" in console.file.getvalue()
    assert {path.name for path in settings.home.iterdir() if not path.name.startswith((".", "registry_key"))} == {
        "models",
        "replay.json",
    }


def test_a_month_that_is_not_published_is_named(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(LogitrackError, match="yellow 2035-01 is not published"):
        replay_months(settings, options("2035-01"), settings.home / "replay.json", Console(file=io.StringIO()))
