"""Reading a manifest and verifying a version's files."""

from __future__ import annotations

import json

import pytest

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def test_missing_file_is_named(models):
    version = publish_version(models)
    (models.path(version) / "tables.npz").unlink()
    with pytest.raises(ArtifactError, match=r"lacks its file tables\.npz"):
        models.load(version)


def update_manifest(models, version, **changes):
    path = models.path(version) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_unsupported_format_is_named_with_a_remedy(models):
    version = publish_version(models)
    update_manifest(models, version, format=0)
    with pytest.raises(ArtifactError, match="has format 0; this program reads 1: train it again"):
        models.load(version)


def test_other_features_raise(models):
    version = publish_version(models)
    update_manifest(models, version, features={"fare": "float32"})
    with pytest.raises(ArtifactError, match="made for other features"):
        models.load(version)
