"""Promotion, rollback and rejection: the pointer changes atomically, and only to valid versions."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def test_rollback_restores_one_champion_at_a_time_and_history_keeps_all(models):
    first, second, third = (publish_version(models, zones=float(10 + n)) for n in range(3))
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
    models.promote(third, by="ada", reason="fixed")
    assert models.rollback(by="bob", reason="no").version == first


def test_promotion_without_a_reason_raises(models):
    version = publish_version(models)
    with pytest.raises(ValueError, match="needs a reason"):
        models.promote(version, by="ada", reason="  ")
    assert models.champion() is None


@pytest.mark.parametrize("name", ["model.onnx", "tables.npz", "intervals.json"])
def test_promotion_of_an_altered_version_raises_and_keeps_the_champion(models, name):
    good, bad = publish_version(models, zones=10.0), publish_version(models, zones=11.0)
    models.promote(good, by="ada", reason="first")
    file = models.path(bad) / name
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match=f"File {name} of model {bad} was altered"):
        models.promote(bad, by="ada", reason="second")
    assert models.champion().version == good


def test_invalid_manifest_json_raises_and_is_listed_as_unreadable(models):
    version = publish_version(models)
    (models.path(version) / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="is not valid JSON"):
        models.load(version)
    assert [row.status for row in models.listed()] == ["unreadable"]


def test_failed_publication_leaves_no_version(models):
    def fail() -> None:
        with models.staged("20190801T120000-abcdef") as folder:
            (folder / "model.onnx").write_bytes(b"x")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert models.versions() == []
    assert [path.name for path in models.folder.iterdir()] == [".staging.lock"]


def test_concurrent_promotions_are_serialised(models):
    versions = [publish_version(models, zones=float(10 + n)) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda version: models.promote(version, by="many", reason="race"), versions * 2))
    history = models.history()
    assert len(history) == 8
    assert history[-1] == models.champion()
    assert [entry.previous for entry in history[1:]] == [entry.version for entry in history[:-1]]


def test_unreadable_pointer_is_named_and_replaced_by_the_next_promotion(models):
    first, second = publish_version(models, zones=10.0), publish_version(models, zones=11.0)
    for version in (first, second):
        models.promote(version, by="ada", reason="good")
    models.champion_file.write_text('{"version": "')
    with pytest.raises(ArtifactError, match=r"unreadable: `logitrack model promote VERSION --reason …` writes it anew"):
        models.champion()
    assert {row.status for row in models.listed()} == {"former champion"}
    assert models.rollback(by="ada", reason="torn").version == first
    assert models.champion().version == first
    assert [entry.version for entry in models.history()] == [first, second, first]


def test_rejected_candidate_is_listed_with_all_reasons(models):
    good, bad = publish_version(models, zones=10.0), publish_version(models, zones=11.0)
    models.promote(good, by="ada", reason="first")
    models.record_rejection(bad, "beats_baseline: no")
    models.record_rejection(bad, "interval_coverage: no")
    models.record_rejection(good, "a champion is not rejected")
    listed = {row.version: row for row in models.listed()}
    assert listed[bad].status == "rejected"
    assert listed[bad].reason == "beats_baseline: no\ninterval_coverage: no"
    assert listed[good].status == "champion"


def test_unknown_version_raises(models):
    for version in ("20190801T120000-abcdef", "../../etc", ""):
        with pytest.raises(ArtifactError, match="There is no model"):
            models.load(version)


def test_registry_and_features_import_light():
    code = (
        "import sys, logitrack_assets.eta.registry, logitrack_assets.eta.features; "
        "heavy = {'pyspark', 'dagster', 'pandas', 'pyarrow', 'xgboost', 'onnx', 'matplotlib'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_history_written_before_the_kind_field_is_read(models):
    first, second = publish_version(models, zones=10.0), publish_version(models, zones=11.0)
    for version in (first, second):
        models.promote(version, by="ada", reason="better")
    models.rollback(by="bob", reason="complaints")
    for file in (models.champion_file, models.folder / "history.jsonl"):
        entries = [json.loads(file.read_text())] if file.suffix == ".json" else map(json.loads, file.open())
        lines = []
        for entry in entries:
            label = "rollback: " if entry.pop("kind") == "rollback" else ""
            lines.append(json.dumps(entry | {"reason": f"{label}{entry['reason']}"}))
        file.write_text("\n".join(lines) + "\n")
    history = models.history()
    assert [(entry.kind, entry.reason) for entry in history] == [
        ("promotion", "better"), ("promotion", "better"), ("rollback", "complaints"),
    ]  # fmt: skip
    assert history[-1] == models.champion()
    assert models.champion().labelled_reason == "rollback: complaints"
    with pytest.raises(ArtifactError, match="no earlier champion"):
        models.rollback(by="bob", reason="again")


def test_rollback_is_a_typed_entry_and_reasons_are_not_parsed(models):
    first, second = publish_version(models, zones=10.0), publish_version(models, zones=11.0)
    models.promote(first, by="ada", reason="first")
    models.promote(second, by="ada", reason="rollback: of the marketing kind")
    assert models.champion().kind == "promotion"
    assert models.champion().reason == "rollback: of the marketing kind"
    assert models.rollback(by="bob", reason="complaints").kind == "rollback"
    assert models.champion().reason == "complaints"
    assert models.listed()[-1].reason == "rollback: complaints"
