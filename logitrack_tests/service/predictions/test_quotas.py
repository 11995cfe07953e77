"""Quotas of predictions: rows of a day and predictions without an outcome, over all workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_service.errors import RateLimitedError
from logitrack_service.predictions import prediction_log, quotas
from logitrack_service.predictions.quotas import PredictionQuotas, UsageTotals
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP


def batch(client: TestClient, user: User, rows: int) -> Any:
    return client.post("/predict/batch", json={"trips": [TRIP] * rows}, headers=user.headers)


def stored(home: ServiceHome) -> int:
    return int(home.run("select count(*) as rows from service.predictions")[0].rows)


def test_daily_rows_of_an_account_are_limited(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker(daily_predictions=1_000) as client:
        user, other = (new_user(client=client, home=isolated_home) for _ in range(2))
        assert batch(client, user, 999).status_code == 200
        assert batch(client, user, 2).status_code == 429
        assert client.post("/predict", json=TRIP, headers=user.headers).status_code == 200
        refused = client.post("/predict", json=TRIP, headers=user.headers)
        assert refused.status_code == 429
        assert "0 of its 1,000 predictions of a day" in refused.json()["detail"]
        assert 0 < int(refused.headers["Retry-After"]) <= 86_400
        assert batch(client, other, 1_000).status_code == 200
    assert stored(isolated_home) == 2_000
    with isolated_home.worker(daily_predictions=1_000) as client:  # a restarted worker learns the totals at its first
        assert batch(client, user, 1).status_code == 200  # write, and refuses from then on
        eventually(lambda: batch(client, user, 1).status_code == 429)


def test_invalid_rows_of_a_batch_do_not_count(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker(daily_predictions=100) as client:
        user = new_user(client=client, home=isolated_home)
        for _ in range(3):
            body = {"trips": [{"pickup_zone": 999}] * 100}
            assert client.post("/predict/batch", json=body, headers=user.headers).json()["failed"] == 100
        assert batch(client, user, 100).status_code == 200


def test_open_predictions_are_limited_until_outcomes_are_reported(
    isolated_home: ServiceHome, new_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prediction_log, "REFRESH_SECONDS", 0.0)
    settings = {"open_predictions": 10}
    with isolated_home.worker(**settings) as client, isolated_home.worker(**settings) as another:
        user = new_user(client=client, home=isolated_home)
        results = batch(client, user, 10).json()["results"]
        refused = batch(client, user, 1)
        assert refused.status_code == 429
        assert "report outcomes first" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) == 60
        eventually(lambda: stored(isolated_home) == 10)
        reports = [{"prediction_id": row["prediction_id"], "duration_minutes": 20} for row in results[:4]]
        for _ in range(2):  # repeating frees nothing more
            assert another.post("/outcomes", json={"outcomes": reports}, headers=user.headers).status_code == 200
        eventually(lambda: batch(client, user, 4).status_code == 200)
        assert batch(client, user, 1).status_code == 429


def test_totals_of_other_workers_count():
    own = PredictionQuotas(max_daily=100, max_open=1_000)
    own.admit(1, 10)
    own.update({1: 10}, [UsageTotals(account_id=1, day=datetime.now(UTC).date(), today=95, open=95)])
    own.admit(1, 5)
    with pytest.raises(RateLimitedError):
        own.admit(1, 1)
    own.release(1, 5)
    own.admit(1, 5)
    own.admit(2, 100)


def test_next_day_begins_anew(monkeypatch: pytest.MonkeyPatch):
    limited = PredictionQuotas(max_daily=5, max_open=100)
    limited.admit(1, 5)
    with pytest.raises(RateLimitedError):
        limited.admit(1, 1)
    tomorrow = quotas._today() + 1
    monkeypatch.setattr(quotas, "_today", lambda: tomorrow)
    limited.admit(1, 5)
