"""The code location as Dagster loads it, compared with a snapshot of its asset graph."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from dagster import AssetKey

from logitrack_assets.definitions import defs
from logitrack_tests.conftest import REPOSITORY

SNAPSHOT = Path(__file__).parent / "asset_graph.json"


def _graph() -> dict[str, dict[str, object]]:
    graph = defs.resolve_asset_graph()
    nodes: dict[str, dict[str, object]] = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        nodes[key.to_user_string()] = {
            "after": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "monthly": node.partitions_def is not None,
            "checks": sorted(check.name for check in node.check_keys),
        }
    return nodes


def test_asset_graph_matches_snapshot() -> None:
    """After an intended change, delete the file, run this test once, and review the difference."""
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(json.dumps(_graph(), indent=2) + "\n")
        pytest.fail(f"{SNAPSHOT.name} was missing and has been written. Review it, commit it, run again.")
    assert _graph() == json.loads(SNAPSHOT.read_text())


def test_every_asset_has_owner_kind_description_and_source() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert len(node.description or "") > 40, key
        assert node.code_version, key
        assert "dagster/code_references" in node.metadata, key


def test_monitored_assets_have_a_freshness_policy() -> None:
    graph = defs.resolve_asset_graph()
    for name in ("silver_trips", "analytics_sample", "trip_stats", "eta_champion"):
        assert graph.get(AssetKey(name)).freshness_policy is not None, name


def test_jobs_and_sensors_exist_and_jobs_have_a_time_limit() -> None:
    repository = defs.get_repository_def()
    names = set(repository.job_names)
    assert {"ingest_month", "retrain_eta", "rebuild_month", "run_checks", "clean_up"} <= names
    assert {sensor.name for sensor in repository.sensor_defs} >= {
        "ingest_published_months",
        "retrain_when_due",
        "alert_on_failure",
    }
    for job in ("ingest_month", "retrain_eta", "rebuild_month", "run_checks"):
        assert "dagster/max_runtime" in repository.get_job(job).tags, job


def test_every_check_has_a_description() -> None:
    for check in defs.get_repository_def().asset_checks_defs_by_key.values():
        for spec in check.check_specs:
            assert len(spec.description or "") > 20, spec.name


def test_assets_checks_sensors_and_ops_read_no_settings() -> None:
    """They get everything as resources; only definitions and intervals read the settings."""
    packages = REPOSITORY / "logitrack_assets"
    files = [*packages.glob("*/assets.py"), *packages.glob("*/checks.py"), *packages.glob("automation/*.py")]
    assert len(files) > 6
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = "\n".join(ast.unparse(statement) for statement in node.body)
                assert "get_settings" not in body, f"{file.name}: {node.name}"
