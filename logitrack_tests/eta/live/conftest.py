"""A predictor that says 12 minutes for every trip, with a distance 6."""

from __future__ import annotations

import pytest

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish_version
from logitrack_tests.eta.live.rides import MODEL_MINUTES


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    models = ModelRegistry(tmp_path_factory.mktemp("live") / "models")
    return models.load(publish_version(models, zones=MODEL_MINUTES, distance=MODEL_MINUTES / 2))
