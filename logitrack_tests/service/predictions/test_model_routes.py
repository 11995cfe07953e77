"""Model versions over HTTP: what is known of each, and promotion and rollback by admins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_assets.eta.gate_records import GateRecord, record_gates
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_service.predictions import model_routes
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.models import publish_model

TRIP = {"pickup_zone": 161, "dropoff_zone": 132}


def gate(name: str, *, passed: bool) -> GateRecord:
    return GateRecord(
        name=name, rule="A rule.", passed=passed, reason="A reason.", facts={"limit": 2, "share": 0.5, "note": "x"},
        evaluated_at=datetime(2019, 8, 1, tzinfo=UTC),
    )  # fmt: skip


def test_versions_are_listed_with_state_errors_and_promotions(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    rejected = publish_model(isolated_home.home, minutes=30, number=2)
    ModelRegistry(isolated_home.home / "models").reject(rejected, "beats_baseline: it does not")
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        body = client.get("/models", headers=user.headers).json()
    newest, champion = body["versions"]
    assert (newest["version"], newest["status"], newest["reason"]) == (
        rejected,
        "rejected",
        "beats_baseline: it does not",
    )
    assert champion["version"] == body["serving"] == body["history"][0]["version"]
    assert champion["status"] == "champion"
    assert (champion["trained_from"], champion["trained_through"]) == ("2019-06", "2019-06")
    assert champion["metrics"]["mae_minutes"] == champion["metrics"]["baseline_mae_minutes"] == 3.4
    assert "signature" not in str(body)


def test_a_version_has_its_gates_promotions_and_manifest(isolated_home: ServiceHome, new_user: Callable[..., User]):
    models = ModelRegistry(isolated_home.home / "models")
    (version,) = models.versions()
    record_gates(models, version, [gate("beats_baseline", passed=False), gate("serving_parity", passed=True)])
    record_gates(models, version, [gate("beats_baseline", passed=True)])
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        body = client.get(f"/models/{version}", headers=user.headers).json()
        assert client.get("/models/20010101T000000-abcdef", headers=user.headers).status_code == 404
        assert client.get("/models/..%2f..%2fetc", headers=user.headers).status_code == 404
    assert [(entry["name"], entry["passed"]) for entry in body["gates"]] == [
        ("beats_baseline", True),
        ("serving_parity", True),
    ]
    assert body["gates"][0]["facts"] == {"limit": 2, "share": 0.5, "note": "x"}
    assert [entry["reason"] for entry in body["promotions"]] == ["set up by a test"]
    assert body["manifest"]["version"] == body["summary"]["version"] == version
    assert body["card"] is None, "versions of these tests have no card"


def test_an_admin_promotes_and_rolls_back_and_the_service_follows(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    (first,) = ModelRegistry(isolated_home.home / "models").versions()
    second = publish_model(isolated_home.home, minutes=30, number=2)
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)

        def predicted() -> float:
            response = client.post("/predict", json=TRIP, headers=admin.headers)
            minutes: float = response.json()["estimated_duration_minutes"]
            return minutes

        def post(path: str, **body: Any) -> Any:
            return client.post(path, json=body, headers=admin.headers)

        refused = post(f"/models/{second}/promote", reason="newer")
        assert refused.status_code == 409
        assert "gates have not been evaluated" in refused.json()["detail"]
        assert predicted() == pytest.approx(20)

        forced = post(f"/models/{second}/promote", reason="newer", force=True).json()
        assert (forced["version"], forced["previous"], forced["by"]) == (second, first, admin.username)
        assert forced["reason"].startswith("newer (forced; Its gates have not been evaluated")
        assert predicted() == pytest.approx(30)

        restored = post("/models/rollback", reason="complaints").json()
        assert (restored["version"], restored["kind"], restored["reason"]) == (first, "rollback", "complaints")
        assert predicted() == pytest.approx(20)
        assert post("/models/rollback", reason="again").status_code == 409
        assert post(f"/models/{second}/promote", reason="it was champion").status_code == 200
        assert post("/models/20010101T000000-abcdef/promote", reason="x").status_code == 404
        for body in ({}, {"reason": ""}, {"reason": " \n"}, {"reason": "x" * 501}, {"reason": "x", "extra": 1}):
            assert client.post("/models/rollback", json=body, headers=admin.headers).status_code == 422, body


def test_a_rejected_version_is_refused_with_the_reasons_of_its_gates(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    rejected = publish_model(isolated_home.home, minutes=30, number=2)
    ModelRegistry(isolated_home.home / "models").reject(rejected, "beats_baseline: MAE 9.\ninterval_coverage: 40%.")
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        response = client.post(f"/models/{rejected}/promote", json={"reason": "x"}, headers=admin.headers)
    assert response.status_code == 409
    assert "beats_baseline: MAE 9. interval_coverage: 40%." in response.json()["detail"]


@pytest.mark.parametrize("role", ["user", "analyst"])
def test_only_admins_change_the_champion(client: TestClient, new_user: Callable[..., User], role: str):
    user = new_user(role)
    for path in ("/models/20010101T000000-abcdef/promote", "/models/rollback"):
        assert client.post(path, json={"reason": "x"}, headers=user.headers).status_code == 403


def test_a_folder_that_the_service_cannot_write_is_a_sentence(
    isolated_home: ServiceHome, new_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(Path("/var/lib/logitrack/models")))

    monkeypatch.setattr(model_routes.ModelRegistry, "rollback", refuse)
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        response = client.post("/models/rollback", json={"reason": "x"}, headers=admin.headers)
    assert response.status_code == 409
    assert "cannot write the models folder (Read-only file system)" in response.json()["detail"]
    assert "/var/lib" not in response.text
