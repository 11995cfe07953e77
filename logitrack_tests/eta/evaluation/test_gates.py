"""Promotion gates: valid candidates pass, invalid ones fail with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from logitrack_assets.eta.artifact import sha256
from logitrack_assets.eta.checks import evaluate_gate
from logitrack_assets.eta.evaluation.gates import GATES, MAX_PARITY_ERROR_MINUTES, evaluate_gates
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.gate_records import read_gates
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import constant_holdout, publish_version, random_trips


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def replace_holdout(models, version, content: Holdout) -> None:
    """Replace a version's holdout and its digest in the manifest."""
    folder = models.path(version)
    content.save(folder / HOLDOUT_FILE)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][HOLDOUT_FILE] = sha256(folder / HOLDOUT_FILE)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_valid_first_candidate_passes_all_gates(models):
    results = evaluate_gates(models, publish_version(models))
    assert {name: result.why for name, result in results.items() if not result.passed} == {}
    assert set(results) == {
        "artifact_valid", "serving_parity", "beats_baseline", "not_worse_than_champion", "interval_coverage",
    }  # fmt: skip


def test_difference_between_serving_and_training_fails(models):
    trips = random_trips()
    version = publish_version(models, zones=12.0, trips=trips)
    replace_holdout(models, version, constant_holdout(trips, evaluated=12.0, published=12.02))
    result = evaluate_gates(models, version)["serving_parity"]
    assert not result.passed
    assert result.facts["largest_difference_minutes"] == pytest.approx(0.02, abs=1e-3)


def test_candidate_worse_than_the_baseline_fails(models):
    result = evaluate_gates(models, publish_version(models, zones=60.0, distance=60.0))["beats_baseline"]
    assert not result.passed


@pytest.mark.parametrize(("minutes", "passes"), [(13.0, True), (12.45, True), (28.0, False)])
def test_candidate_worse_than_the_champion_fails(models, minutes, passes):
    trips = random_trips(month="2019-07")
    old = publish_version(models, zones=12.5, distance=12.5, trained_through="2019-06")
    models.promote(old, by="ada", reason="first")
    new = publish_version(models, zones=minutes, distance=minutes, trained_through="2019-07", trips=trips)
    assert evaluate_gates(models, new)["not_worse_than_champion"].passed is passes


def test_champion_trained_on_the_same_month_is_compared_by_its_evaluation_model(models):
    trips = random_trips(month="2019-07")
    old = publish_version(models, zones=12.5, distance=12.5, trained_through="2019-07", trips=trips, evaluated=40.0)
    models.promote(old, by="ada", reason="first")
    new = publish_version(models, zones=14.0, distance=14.0, trained_through="2019-07", trips=trips)
    result = evaluate_gates(models, new)["not_worse_than_champion"]
    assert result.passed
    assert float(result.facts["zones_old_mae_minutes"]) > 20


def test_candidate_without_a_fleet_of_the_champion_fails(models):
    models.promote(publish_version(models, fleets=("yellow", "green")), by="ada", reason="first")
    result = evaluate_gates(models, publish_version(models, fleets=("green",), trained_through="2019-07"))[
        "not_worse_than_champion"
    ]
    assert not result.passed
    assert "yellow and green" in result.why


@pytest.mark.parametrize(("coverage", "passes"), [(0.78, True), (0.82, True), (0.74, False), (0.9, False)])
def test_coverage_far_from_its_level_fails(models, coverage, passes):
    assert evaluate_gates(models, publish_version(models, coverage=coverage))["interval_coverage"].passed is passes


def test_altered_artifact_fails_before_other_gates_run(models):
    version = publish_version(models)
    (models.path(version) / "model.onnx").write_bytes(np.random.default_rng(0).bytes(100))
    results = evaluate_gates(models, version)
    assert list(results) == ["artifact_valid"]
    assert "altered" in results["artifact_valid"].why


def test_every_evaluated_gate_is_kept_with_the_version(models):
    version = publish_version(models, trips=random_trips(400))
    for name in GATES:
        evaluate_gate(models, version, name)
    records = {record.name: record for record in read_gates(models, version)}
    assert list(records) == list(GATES)
    assert records["serving_parity"].passed
    assert records["serving_parity"].facts["allowed_minutes"] == MAX_PARITY_ERROR_MINUTES
    assert all(record.rule and record.reason for record in records.values())


def test_unreadable_gate_records_are_none_and_are_replaced(models):
    version = publish_version(models, trips=random_trips(400))
    (models.folder / f"{version}.gates.json").write_text("[{")
    assert read_gates(models, version) == []
    evaluate_gate(models, version, "interval_coverage")
    assert [record.name for record in read_gates(models, version)] == ["interval_coverage"]
