"""`logitrack check` guards CI: green on good months, red on a poisoned one, with words and a JUnit file."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from logitrack_assets.lake import Lake
from logitrack_tests.end_to_end.conftest import Installation

MONTH = "2019-05"


def test_good_months_are_green(
    demo: tuple[Installation, subprocess.CompletedProcess[str], float], tmp_path: Path
) -> None:
    said = demo[0].run("check", "--months", f"2019-04:{MONTH}", "--junit", str(tmp_path / "checks.xml"))
    assert said.returncode == 0, said.stdout + said.stderr
    assert "0 failed" in said.stdout
    suites = ElementTree.parse(tmp_path / "checks.xml").getroot()
    assert {suite.get("name") for suite in suites} >= {"silver_trips", "eta_model"}
    assert sum(int(suite.get("failures", "1")) for suite in suites) == 0


@pytest.fixture
def poisoned(demo: tuple[Installation, subprocess.CompletedProcess[str], float]) -> Iterator[Installation]:
    """The demo's home while a silver file of one month lacks a row and another has a trip of another month."""
    folder = Lake(demo[0].home).silver(MONTH)
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, kept)
    file = next(folder.glob("*.parquet"))
    trips = pq.ParquetFile(file).read()
    pq.write_table(trips.slice(1), file)
    yield demo[0]
    shutil.rmtree(folder)
    kept.rename(folder)


def test_a_poisoned_month_is_red_and_named(poisoned: Installation, tmp_path: Path) -> None:
    said = poisoned.run("check", "--months", MONTH, "--junit", str(tmp_path / "checks.xml"))
    assert said.returncode == 1
    assert "row_count_reconciles" in said.stdout
    assert "Traceback" not in said.stderr
    failures = ElementTree.parse(tmp_path / "checks.xml").getroot().iter("failure")
    assert any("9," in (failure.text or "") or "10,000" in (failure.text or "") for failure in failures)


def test_a_month_that_is_not_there_is_said(demo: tuple[Installation, subprocess.CompletedProcess[str], float]) -> None:
    said = demo[0].run("check", "--months", "2018-01")
    assert said.returncode == 1
    assert "2018-01: not materialised here" in said.stderr
