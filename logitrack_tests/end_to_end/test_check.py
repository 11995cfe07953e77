"""`logitrack check` passes on good months and fails on a corrupted one, with a JUnit file."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from logitrack_assets.lake import Lake
from logitrack_tests.end_to_end.conftest import MONTHS, Installation

MONTH = MONTHS[1]


def test_good_months_pass(demo: tuple[Installation, subprocess.CompletedProcess[str], float], tmp_path: Path) -> None:
    result = demo[0].run("check", "--months", f"{MONTHS[0]}:{MONTH}", "--junit", str(tmp_path / "checks.xml"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 failed" in result.stdout
    suites = ElementTree.parse(tmp_path / "checks.xml").getroot()
    assert {suite.get("name") for suite in suites} >= {"silver_trips", "eta_model"}
    assert sum(int(suite.get("failures", "1")) for suite in suites) == 0


@pytest.fixture
def corrupted(demo: tuple[Installation, subprocess.CompletedProcess[str], float]) -> Iterator[Installation]:
    """The demo's home while a silver file of one month lacks a row."""
    folder = Lake(demo[0].home).silver(MONTH)
    backup = folder.with_name(f"{folder.name}.backup")
    shutil.copytree(folder, backup)
    file = next(folder.glob("*.parquet"))
    trips = pq.ParquetFile(file).read()
    pq.write_table(trips.slice(1), file)
    yield demo[0]
    shutil.rmtree(folder)
    backup.rename(folder)


def test_corrupted_month_fails_by_name(corrupted: Installation, tmp_path: Path) -> None:
    result = corrupted.run("check", "--months", MONTH, "--junit", str(tmp_path / "checks.xml"))
    assert result.returncode == 1
    assert "row_count_reconciles" in result.stdout
    assert "Traceback" not in result.stderr
    failures = ElementTree.parse(tmp_path / "checks.xml").getroot().iter("failure")
    assert any("9," in (failure.text or "") or "10,000" in (failure.text or "") for failure in failures)


def test_missing_month_is_an_error(demo: tuple[Installation, subprocess.CompletedProcess[str], float]) -> None:
    result = demo[0].run("check", "--months", "2018-01")
    assert result.returncode == 1
    assert "2018-01: not materialised here" in result.stderr
