"""The code location as Dagster loads it, compared with a snapshot of its asset graph."""

from __future__ import annotations

import ast
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from logitrack_assets.definitions import SERVICE, defs
from logitrack_assets.materializations import COLUMN_ENTRIES
from logitrack_assets.trips import freshness
from logitrack_assets.trips.asset_names import SOURCE, TRIP_ASSETS
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


def _value(entry: Any) -> Any:
    """Return a metadata entry's value; definitions hold some entries without Dagster's wrapper."""
    return getattr(entry, "value", entry)


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
        if not node.is_external:
            assert node.code_version, key
            assert "dagster/code_references" in node.metadata, key


def test_source_and_service_are_external_assets_at_both_ends() -> None:
    graph = defs.resolve_asset_graph()
    external = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_external}
    assert external == {SOURCE, SERVICE}
    assert graph.get(AssetKey("bronze_trips")).parent_keys == {AssetKey(SOURCE)}
    assert AssetKey("eta_champion") in graph.get(AssetKey(SERVICE)).parent_keys
    assert AssetKey("eta_champion") in graph.get(AssetKey("eta_drift")).parent_keys
    for name in external:
        assert _value(graph.get(AssetKey(name)).metadata["address"]), name


def test_every_table_has_columns_and_their_lineage() -> None:
    graph = defs.resolve_asset_graph()
    for name in (*TRIP_ASSETS, "eta_drift"):
        node = graph.get(AssetKey(name))
        schema, lineage = (_value(node.metadata[entry]) for entry in COLUMN_ENTRIES)
        columns = {column.name for column in schema.columns}
        assert len(columns) > 5, name
        if name != "bronze_trips":  # its columns are the TLC's, and a new one is unknown here
            assert all(column.description for column in schema.columns), name
        assert set(lineage.deps_by_column) <= columns, name
        sources = {dep.asset_key for deps in lineage.deps_by_column.values() for dep in deps}
        assert sources <= node.parent_keys, name
        for source in sources - {AssetKey(SOURCE)}:
            known = {column.name for column in _value(graph.get(source).metadata[COLUMN_ENTRIES[0]]).columns}
            used = {dep.column_name for deps in lineage.deps_by_column.values() for dep in deps}
            # Earlier generations of files name their columns differently from the newest one.
            assert used & known if source == AssetKey("bronze_trips") else used <= known, name


def test_monitored_assets_have_a_freshness_policy() -> None:
    """Monthly tables have a check of their newest month: a policy would take a backfilled old month for fresh."""
    graph = defs.resolve_asset_graph()
    for name in ("silver_trips", "analytics_sample", "trip_stats"):
        assert freshness.CHECK in {key.name for key in graph.get(AssetKey(name)).check_keys}, name
    policy = graph.get(AssetKey("eta_champion")).freshness_policy
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.warn_window is not None
    assert policy.warn_window.to_timedelta() == timedelta(days=38)
    assert policy.fail_window.to_timedelta() == timedelta(days=45)


def test_jobs_and_sensors_exist_and_jobs_have_a_time_limit() -> None:
    repository = defs.get_repository_def()
    names = set(repository.job_names)
    schedules = {schedule.name for schedule in repository.schedule_defs}
    assert schedules == {"ingest_monthly", "clean_up_weekly", "check_freshness_daily"}, "as docs/operations.md has them"
    assert {"ingest_month", "retrain_eta", "rebuild_month", "run_checks", "clean_up"} <= names
    assert {sensor.name for sensor in repository.sensor_defs} >= {
        "ingest_published_months",
        "retrain_when_due",
        "compare_challenger",
        "alert_on_failure",
        "alert_on_conditions",
        "publish_pipeline_state",
    }
    for job in ("ingest_month", "retrain_eta", "rebuild_month", "run_checks"):
        assert "dagster/max_runtime" in repository.get_job(job).tags, job


def test_jobs_schedules_sensors_and_checks_have_a_description() -> None:
    repository = defs.get_repository_def()
    jobs = [repository.get_job(name) for name in repository.job_names if not name.startswith("__")]
    for definition in (*jobs, *repository.schedule_defs, *repository.sensor_defs):
        assert len(definition.description or "") > 20, definition.name
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
