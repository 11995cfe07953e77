"""Outcomes of checks as JUnit XML: failures count, warnings do not."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from logitrack_assets.commands.checks import CheckOutcome, write_junit


def test_junit_has_a_suite_per_asset_and_counts_errors_only(tmp_path: Path) -> None:
    outcomes = [
        CheckOutcome("silver_trips", "schema_matches", "2019-01", passed=False, is_error=True, description="differs"),
        CheckOutcome("silver_trips", "volume", "2019-01", passed=False, is_error=False, description="low"),
        CheckOutcome("eta_model", "artifact_valid", "2019-01", passed=True, is_error=True, description=""),
    ]
    write_junit(outcomes, tmp_path / "reports" / "checks.xml")
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "reports" / "checks.xml").getroot()}
    assert suites["silver_trips"].get("failures") == "1"
    assert suites["eta_model"].get("failures") == "0"
    cases = {case.get("name"): case for case in suites["silver_trips"]}
    assert cases["schema_matches [2019-01]"].find("failure") is not None
    assert cases["volume [2019-01]"].find("failure") is None
    assert cases["volume [2019-01]"].findtext("system-out") == "low"
