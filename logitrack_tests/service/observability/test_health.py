"""Readiness of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient
from pydantic import SecretStr

from logitrack_assets.home import read_instance_id
from logitrack_assets.settings import Settings
from logitrack_service.app import create_app
from logitrack_service.observability.health import HealthCheck, HealthState, ReadinessProbe
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import KEY, ServiceHome, User


def test_database_outage_degrades_readiness_but_not_predictions(
    isolated_home: ServiceHome, new_user: Callable[..., User], tmp_path: Any
):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        away = Settings(
            home=isolated_home.home,
            database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"),
            secret_key=SecretStr(KEY),
        )
        with TestClient(create_app(away, ServiceSettings()), raise_server_exceptions=False) as alone:
            trip = {"pickup_zone": 161, "dropoff_zone": 132}
            assert alone.post("/predict", json=trip, headers=user.headers).status_code == 200
            response = alone.post("/token", data={"username": user.username, "password": "whatever it is"})
            assert response.status_code == 503
            assert response.headers["retry-after"]
            assert response.headers["content-type"] == "application/problem+json"
            ready = alone.get("/health/ready")
            assert ready.status_code == 200
            assert ready.json()["checks"]["database"]["status"] == "degraded"
            assert ready.json()["checks"]["migrations"]["status"] == "degraded"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["ok", "ok"], "ok"),
        (["ok", "degraded"], "degraded"),
        (["degraded", "failed", "ok"], "failed"),
        ([], "ok"),
    ],
)
def test_readiness_is_the_worst_health_check(states: list[HealthState], expected: HealthState):
    def check(state: HealthState) -> Callable[[], Any]:
        async def run() -> HealthCheck:
            return HealthCheck(state, None if state == "ok" else f"It is {state}.")

        return run

    checks = {f"check-{index}": check(state) for index, state in enumerate(states)}
    readiness = asyncio.run(ReadinessProbe(checks, model_version=lambda: "v1").run())
    assert readiness.status == expected
    assert [result.status for result in readiness.checks.values()] == states
    assert readiness.model_version == "v1"


def test_liveness_states_the_instance_of_the_home(isolated_home: ServiceHome) -> None:
    with isolated_home.worker() as client:
        assert client.get("/health/live").json() == {
            "status": "ok",
            "instance": read_instance_id(isolated_home.home),
        }
    assert read_instance_id(isolated_home.home) is not None
