"""`logitrack model`: figures, refusing gates and the champion in what users read, and promotions that need --force."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from logitrack_assets.commands.models import (
    print_card,
    print_training_result,
    print_versions,
    promote_version,
)
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import Settings
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def models(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings.home / "models")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=1_000)


def _printed(console: Console) -> str:
    text = console.file.getvalue()
    console.file.truncate(0)
    console.file.seek(0)
    return text


def _row(text: str, version: str) -> list[str]:
    """Return the cells of a version's row."""
    line = next(line for line in text.splitlines() if line.startswith(version))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_list_shows_errors_coverage_and_refusing_gates(
    settings: Settings, models: ModelRegistry, console: Console
) -> None:
    champion, refused = publish_version(models), publish_version(models, coverage=0.5, later=1)
    models.promote(champion, by="ada", reason="first")
    models.record_rejection(refused, "beats_baseline: It does not.")
    models.record_rejection(refused, "interval_coverage: 50.0%.")
    print_versions(settings, console)
    text = _printed(console)
    assert _row(text, champion) == [champion, "champion", "3.00", "3.00", "80.0%", "2019-06", "yellow", "first"]
    reasons = "beats_baseline: It does not.; interval_coverage: 50.0%."
    assert _row(text, refused)[1:5] == ["rejected", "3.00", "3.00", "50.0%"]
    assert _row(text, refused)[-1] == reasons


def test_show_without_a_version_shows_the_champion(settings: Settings, models: ModelRegistry, console: Console) -> None:
    with pytest.raises(LogitrackError, match=r"There is no champion yet\. See `logitrack model list`"):
        print_card(settings, None, console)
    champion, newer = publish_version(models), publish_version(models, later=1)
    models.promote(champion, by="ada", reason="first")
    print_card(settings, None, console)
    assert _printed(console) == f"<!-- {champion}: champion, first -->\n# A card\n\n"
    print_card(settings, newer, console)
    assert _printed(console).startswith(f"<!-- {newer}: candidate -->")


def test_result_of_a_training_is_the_quality_of_the_champion(
    settings: Settings, models: ModelRegistry, console: Console
) -> None:
    version = publish_version(models)
    models.promote(version, by="ada", reason="first")
    print_training_result(settings, console)
    assert _printed(console).splitlines()[1:] == [
        f"Champion {version}",
        "  MAE 3.00 minutes from zones only, 3.00 with the distance, 3.00 for the baseline; the 80% interval covers "
        "80.0%. Evaluated on 100 trips of 2019-06, trained through 2019-06.",
    ]


def test_result_of_a_training_names_the_gates_that_refused(
    settings: Settings, models: ModelRegistry, console: Console
) -> None:
    version = publish_version(models)
    models.record_rejection(version, "beats_baseline: It does not.")
    models.record_rejection(version, "interval_coverage: 50.0%.")
    print_training_result(settings, console)
    assert _printed(console).splitlines()[1:] == [
        f"{version} is not served: rejected",
        "  beats_baseline: It does not.",
        "  interval_coverage: 50.0%.",
        "There is no champion, so the service cannot predict yet.",
    ]


def test_rejected_candidate_is_promoted_only_by_force(
    settings: Settings, models: ModelRegistry, console: Console
) -> None:
    version = publish_version(models)
    models.record_rejection(version, "interval_coverage: 50.0%.")
    with pytest.raises(LogitrackError, match=r"(?s)did not pass its gates.*interval_coverage: 50\.0%.*--force"):
        promote_version(settings, version, "try it", console)
    assert models.champion() is None
    promote_version(settings, version, "try it", console, force=True)
    text = _printed(console)
    assert f"warning: {version} did not pass its gates:\n  interval_coverage: 50.0%." in text
    assert text.endswith(f"{version} is champion.\n")
    champion = models.champion()
    assert champion is not None
    assert champion.reason == "try it (forced; gates not passed: interval_coverage)"


def test_gates_of_a_candidate_without_a_verdict_are_evaluated(
    settings: Settings, models: ModelRegistry, console: Console
) -> None:
    """A run that ended between training and gates leaves such a version."""
    version = publish_version(models, coverage=0.5)
    with pytest.raises(LogitrackError, match=r"(?s)did not pass its gates.*interval_coverage: "):
        promote_version(settings, version, "try it", console)
    assert models.champion() is None


def test_former_champion_is_promoted_without_force(settings: Settings, models: ModelRegistry, console: Console) -> None:
    former, champion = publish_version(models, coverage=0.5), publish_version(models, later=1)
    for version in (former, champion):
        models.promote(version, by="ada", reason="first")
    promote_version(settings, former, "again", console)
    assert _printed(console) == f"{former} is champion.\n"


def test_unknown_version_is_an_error(settings: Settings, console: Console) -> None:
    with pytest.raises(LogitrackError, match="There is no model"):
        promote_version(settings, "20010101T000000-abcdef", "why not", console, force=True)


def test_table_in_a_file_is_not_wrapped(settings: Settings, models: ModelRegistry, tmp_path: Path) -> None:
    version = publish_version(models)
    models.record_rejection(version, "interval_coverage: " + "a long finding " * 20 + "ends")
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LOGITRACK_")}
    with (tmp_path / "list.txt").open("w") as file:
        subprocess.run(
            [sys.executable, "-m", "logitrack_assets.cli", "model", "list"],
            cwd=REPOSITORY,
            env=bare | {"LOGITRACK_HOME": str(settings.home), "COLUMNS": "80"},
            stdout=file,
            check=True,
            timeout=60,
        )
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].rstrip().endswith("a long finding ends")
