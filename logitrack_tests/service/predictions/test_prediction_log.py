"""Background log of predictions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from litestar.testing import TestClient

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_service.observability import metrics
from logitrack_service.predictions import prediction_log, scoring
from logitrack_service.predictions.model_reloader import LoadedModel
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.predictions.quotas import PredictionQuotas
from logitrack_service.predictions.schemas import PredictionRequest
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP
from logitrack_tests.service.predictions.test_outcomes import IDS


def test_all_fields_of_a_prediction_are_logged(service_home: ServiceHome, client: TestClient, user: User):
    given = client.post("/predict", json={**TRIP, "distance_miles": 3.5, "fleet": "green"}, headers=user.headers).json()
    row = eventually(
        lambda: service_home.run(
            "select * from service.predictions where prediction_id = :id", id=given["prediction_id"]
        )
    )[0]
    assert (row.pickup_zone, row.dropoff_zone, row.fleet, row.distance_miles) == (161, 132, "green", 3.5)
    assert row.pickup_at == datetime(2019, 7, 1, 8, 30)
    assert row.model_version == given["model_version"]
    assert round(row.duration_minutes, 2) == given["estimated_duration_minutes"]
    ((username,),) = service_home.run("select username from service.accounts where account_id = :id", id=row.account_id)
    assert username == user.username


def test_shutdown_flushes_the_log(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        trips = {"trips": [TRIP] * 7_000}
        answer = client.post("/predict/batch", json=trips, headers=user.headers).json()
    ids = {row["prediction_id"] for row in answer["results"]}
    stored = {str(row.prediction_id) for row in isolated_home.run("select prediction_id from service.predictions")}
    assert stored == ids
    assert len(ids) == 7_000


def test_full_queue_drops_and_counts_rows(service_home: ServiceHome, monkeypatch: pytest.MonkeyPatch):
    def dropped() -> float:
        return metrics.prediction_log_rows.labels("dropped")._value.get()

    monkeypatch.setattr(prediction_log, "MAX_QUEUED_ROWS", 3)
    quotas = PredictionQuotas(max_daily=3, max_open=3)
    log = PredictionLog("postgresql://nobody@127.0.0.1:1/nothing", quotas)  # not started, so nothing is ever stored
    registry = ModelRegistry(service_home.home / "models")
    champion = registry.champion()
    assert champion is not None
    model = LoadedModel(registry.load(champion.version), champion, loaded_at=0.0)
    before = dropped()
    for _ in range(8):
        request = PredictionRequest(161, 132)
        log.add(scoring.predict_requests(model, [request], [1], level=0.8, prediction_ids=IDS)[1])
    assert log.queued_rows == 3
    assert dropped() - before == 5
