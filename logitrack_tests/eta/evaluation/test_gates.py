"""A candidate is promoted for what it shows, and refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from logitrack_assets.eta.artifact.predictor import sha256
from logitrack_assets.eta.evaluation.gates import evaluate_gates
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import held_out, publish, some_trips


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def replace_held_out(models, version, content: Holdout) -> None:
    """Another held-out sample, with the digest that belongs to it."""
    folder = models.path(version)
    content.save(folder / HOLDOUT_FILE)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][HOLDOUT_FILE] = sha256(folder / HOLDOUT_FILE)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_first_candidate_passes_everything(models):
    verdicts = evaluate_gates(models, publish(models))
    assert {name: verdict.why for name, verdict in verdicts.items() if not verdict.passed} == {}
    assert set(verdicts) == {
        "artifact_valid", "serving_parity", "beats_baseline", "not_worse_than_champion", "interval_coverage",
    }  # fmt: skip


def test_serving_that_differs_from_training_is_refused(models):
    trips = some_trips()
    version = publish(models, zones=12.0, trips=trips)
    replace_held_out(models, version, held_out(trips, judged=12.0, published=12.02))
    verdict = evaluate_gates(models, version)["serving_parity"]
    assert not verdict.passed
    assert verdict.facts["largest_difference_minutes"] == pytest.approx(0.02, abs=1e-3)


def test_worse_than_the_lookup_is_refused(models):
    verdict = evaluate_gates(models, publish(models, zones=60.0, distance=60.0))["beats_baseline"]
    assert not verdict.passed


@pytest.mark.parametrize(("mine", "passes"), [(13.0, True), (12.45, True), (28.0, False)])
def test_a_candidate_may_be_better_or_as_good_but_not_worse_than_the_champion(models, mine, passes):
    trips = some_trips(month="2019-07")
    old = publish(models, zones=12.5, distance=12.5, trained_through="2019-06")
    models.promote(old, by="ada", reason="first")
    new = publish(models, zones=mine, distance=mine, trained_through="2019-07", trips=trips)
    assert evaluate_gates(models, new)["not_worse_than_champion"].passed is passes


def test_a_champion_that_learned_from_the_same_month_is_compared_by_what_it_said_before(models):
    trips = some_trips(month="2019-07")
    old = publish(models, zones=12.5, distance=12.5, trained_through="2019-07", trips=trips, judged=40.0)
    models.promote(old, by="ada", reason="first")
    new = publish(models, zones=14.0, distance=14.0, trained_through="2019-07", trips=trips)
    verdict = evaluate_gates(models, new)["not_worse_than_champion"]
    assert verdict.passed
    assert float(verdict.facts["zones_old_mae_minutes"]) > 20


def test_losing_a_fleet_is_refused(models):
    models.promote(publish(models, fleets=("yellow", "green")), by="ada", reason="first")
    verdict = evaluate_gates(models, publish(models, fleets=("green",), trained_through="2019-07"))[
        "not_worse_than_champion"
    ]
    assert not verdict.passed
    assert "yellow and green" in verdict.why


@pytest.mark.parametrize(("coverage", "passes"), [(0.78, True), (0.82, True), (0.74, False), (0.9, False)])
def test_coverage_must_be_near_its_level(models, coverage, passes):
    assert evaluate_gates(models, publish(models, coverage=coverage))["interval_coverage"].passed is passes


def test_of_a_tampered_artefact_nothing_else_is_asked(models):
    version = publish(models)
    (models.path(version) / "model.onnx").write_bytes(np.random.default_rng(0).bytes(100))
    verdicts = evaluate_gates(models, version)
    assert list(verdicts) == ["artifact_valid"]
    assert "altered" in verdicts["artifact_valid"].why
