"""The pointer is never half moved, and never moves to a model that is not sound."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from logitrack_assets.eta.artifact.predictor import ArtifactError
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def test_a_version_answers_with_and_without_distance(models):
    artifact = models.load(publish(models, zones=12, distance=9))
    answer = artifact.predict(
        TripBatch.from_columns([161, 161, 4], [236, 236, 5], ["2019-06-03T08:30:00"] * 3, [np.nan, 2.0, np.nan])
    )
    assert answer.minutes == pytest.approx([12, 9, 12], rel=1e-6)
    assert (answer.low < answer.minutes).all()
    assert (answer.minutes < answer.high).all()
    assert answer.support.tolist() == [400, 400, 0]
    assert answer.extrapolating.tolist() == [False, False, True]
    assert answer.distance_source == ["none", "given", "none"]


def test_a_higher_level_gives_a_wider_interval_and_others_are_refused(models):
    artifact = models.load(publish(models))
    trip = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"])
    widths = [
        float((a.high - a.low)[0]) for a in (artifact.predict(trip, level=level) for level in (0.5, 0.8, 0.9, 0.95))
    ]
    assert widths == sorted(widths)
    assert widths[0] > 0
    for level in (0.49, 0.96, 80):
        with pytest.raises(ValueError, match="level must be between"):
            artifact.predict(trip, level=level)


def test_quantiles_rise_with_probability(models):
    artifact = models.load(publish(models))
    minutes = artifact.quantiles(
        TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"]), np.array([0.1, 0.5, 0.9])
    )
    assert minutes.shape == (1, 3)
    assert (np.diff(minutes[0]) > 0).all()
    with pytest.raises(ValueError, match="probabilities must be between"):
        artifact.quantiles(TripBatch.from_columns([161], [236], ["2019-06-03"]), np.array([0.9999]))


def test_a_fleet_that_the_model_never_saw_is_extrapolated(models):
    artifact = models.load(publish(models, fleets=("yellow",)))
    assert artifact.predict(TripBatch.from_columns([161], [236], ["2019-06-03"], fleet="green")).extrapolating.all()


def test_promotion_keeps_history_and_rollback_goes_back_one_at_a_time(models):
    first, second, third = (publish(models, zones=float(10 + n)) for n in range(3))
    assert models.champion() is None
    for version in (first, second, third):
        models.promote(version, by="ada", reason="better")
    assert models.rollback(by="bob", reason="complaints").version == second
    assert models.rollback(by="bob", reason="still").version == first
    with pytest.raises(ArtifactError, match="no earlier champion"):
        models.rollback(by="bob", reason="again")
    assert [entry.version for entry in models.history()] == [first, second, third, second, first]
    assert models.history()[-1] == models.champion()
    assert models.champion().previous == second
    models.promote(third, by="ada", reason="mended")
    assert models.rollback(by="bob", reason="no").version == first


def test_a_promotion_needs_a_reason(models):
    version = publish(models)
    with pytest.raises(ValueError, match="needs a reason"):
        models.promote(version, by="ada", reason="  ")
    assert models.champion() is None


@pytest.mark.parametrize("name", ["model.onnx", "tables.npz", "intervals.json"])
def test_a_tampered_file_is_refused_and_the_old_champion_stays(models, name):
    good, bad = publish(models, zones=10.0), publish(models, zones=11.0)
    models.promote(good, by="ada", reason="first")
    file = models.path(bad) / name
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match=f"File {name} of model {bad} was altered"):
        models.promote(bad, by="ada", reason="second")
    assert models.champion().version == good


def test_a_missing_file_is_named(models):
    version = publish(models)
    (models.path(version) / "tables.npz").unlink()
    with pytest.raises(ArtifactError, match=r"lacks its file tables\.npz"):
        models.load(version)


def change_manifest(models, version, **changes):
    path = models.path(version) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_older_format_says_what_to_do(models):
    version = publish(models)
    change_manifest(models, version, format=0)
    with pytest.raises(ArtifactError, match="has format 0; this program reads 1: train it again"):
        models.load(version)


def test_other_features_are_refused(models):
    version = publish(models)
    change_manifest(models, version, features={"fare": "float32"})
    with pytest.raises(ArtifactError, match="made for other features"):
        models.load(version)


def test_a_manifest_that_is_none_is_refused(models):
    version = publish(models)
    (models.path(version) / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="is no JSON"):
        models.load(version)
    assert [row.status for row in models.listed()] == ["unreadable"]


def test_a_version_that_fails_half_way_is_not_there(models):
    def fail() -> None:
        with models.staged("20190801T120000-abcdef") as folder:
            (folder / "model.onnx").write_bytes(b"x")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert models.versions() == []
    assert not list(models.folder.iterdir())


def test_promoters_at_once_leave_one_whole_pointer_and_a_whole_history(models):
    versions = [publish(models, zones=float(10 + n)) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda version: models.promote(version, by="many", reason="race"), versions * 2))
    history = models.history()
    assert len(history) == 8
    assert history[-1] == models.champion()
    assert [entry.previous for entry in history[1:]] == [entry.version for entry in history[:-1]]


def test_a_pointer_that_somebody_wrote_into_is_named_and_promoting_mends_it(models):
    first, second = publish(models, zones=10.0), publish(models, zones=11.0)
    for version in (first, second):
        models.promote(version, by="ada", reason="good")
    models.champion_file.write_text('{"version": "')
    with pytest.raises(ArtifactError, match=r"unreadable: `logitrack model promote VERSION --reason …` writes it anew"):
        models.champion()
    assert {row.status for row in models.listed()} == {"former champion"}
    assert models.rollback(by="ada", reason="torn").version == first
    assert models.champion().version == first
    assert [entry.version for entry in models.history()] == [first, second, first]


def test_a_rejected_candidate_stays_visible_with_all_its_reasons(models):
    good, bad = publish(models, zones=10.0), publish(models, zones=11.0)
    models.promote(good, by="ada", reason="first")
    models.record_rejection(bad, "beats_baseline: no")
    models.record_rejection(bad, "interval_coverage: no")
    models.record_rejection(good, "a champion is not rejected")
    listed = {row.version: row for row in models.listed()}
    assert listed[bad].status == "rejected"
    assert listed[bad].reason == "beats_baseline: no\ninterval_coverage: no"
    assert listed[good].status == "champion"


def test_an_unknown_version_is_refused(models):
    for version in ("20190801T120000-abcdef", "../../etc", ""):
        with pytest.raises(ArtifactError, match="There is no model"):
            models.load(version)


def test_reading_and_running_a_model_imports_light():
    code = (
        "import sys, logitrack_assets.eta.registry, logitrack_assets.eta.features; "
        "heavy = {'pyspark', 'dagster', 'pandas', 'pyarrow', 'xgboost', 'onnx', 'matplotlib'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
