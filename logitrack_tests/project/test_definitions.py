"""The asset graph as Dagster's server loads it, and a snapshot that shows accidental changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dagster import AssetKey

from logitrack_assets.definitions import defs

SNAPSHOT = Path(__file__).parent / "asset_graph.json"


def _graph() -> dict[str, dict[str, object]]:
    graph = defs.resolve_asset_graph()
    drawn: dict[str, dict[str, object]] = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        drawn[key.to_user_string()] = {
            "after": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "monthly": node.partitions_def is not None,
            "checks": sorted(check.name for check in node.check_keys),
        }
    return drawn


def test_the_graph_is_the_one_that_was_meant() -> None:
    """After a change that is meant: delete the file, run this once, and look at the difference."""
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(json.dumps(_graph(), indent=2) + "\n")
        pytest.fail(f"{SNAPSHOT.name} was missing and has been written: look at it, commit it, run again.")
    assert _graph() == json.loads(SNAPSHOT.read_text())


def test_people_find_owner_kind_and_words_on_every_asset() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert len(node.description or "") > 40, key
        assert node.code_version, key
        assert "dagster/code_references" in node.metadata, key


def test_what_people_rely_on_is_kept_fresh() -> None:
    graph = defs.resolve_asset_graph()
    for name in ("silver_trips", "analytics_sample", "trip_stats", "eta_champion"):
        assert graph.get(AssetKey(name)).freshness_policy is not None, name


def test_the_jobs_sensors_and_schedules() -> None:
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


def test_every_check_that_blocks_says_what_it_looks_at() -> None:
    for check in defs.get_repository_def().asset_checks_defs_by_key.values():
        for spec in check.check_specs:
            assert len(spec.description or "") > 20, spec.name
