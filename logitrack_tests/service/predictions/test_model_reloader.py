"""Hot reload of the champion and the record of promotions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_service.app import create_app
from logitrack_service.predictions.model_reloader import POLL_SECONDS
from logitrack_service.predictions.promotions import record_promotions
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import QUICK_HASHES, ServiceHome, User
from logitrack_tests.service.models import promote_model, publish_model
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP


def test_every_worker_loads_a_new_champion_within_five_seconds(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    with isolated_home.worker() as first, isolated_home.worker() as second:
        user = new_user(client=first, home=isolated_home)
        version = promote_model(isolated_home.home, minutes=33.0, number=2)
        for worker in (first, second):
            answer = eventually(
                lambda worker=worker: (
                    found
                    if (found := worker.post("/predict", json=TRIP, headers=user.headers).json())["model_version"]
                    == version
                    else None
                ),
                seconds=5,
            )
            assert answer["estimated_duration_minutes"] == 33.0
        history = first.get("/models", headers=user.headers).json()
        assert history["serving"] == version
        assert history["history"][0]["version"] == version
        card = first.get("/model", headers=user.headers).json()
        assert card["card"]["trained_through"] == "2019-06"


def test_promotions_are_audited_once_with_author_and_reason(isolated_home: ServiceHome):
    store = ModelRegistry(isolated_home.home / "models")
    old = store.champion()
    assert old is not None
    version = publish_model(isolated_home.home, minutes=34.0, number=2)
    store.promote(version, by="an operator", reason="before any service ran")

    def recorded(count: int) -> list[Any] | None:
        found = isolated_home.run(
            "select at, detail from service.audit_events where event = 'model_promoted' order by event_id"
        )
        return found if len(found) >= count else None

    with isolated_home.worker(), isolated_home.worker():
        before = eventually(lambda: recorded(2), seconds=10)
        assert [row.detail["version"] for row in before] == [old.version, version]
        time.sleep(1.1)  # a promotion is identified by version and time, and the time is in whole seconds
        rolled_back = store.rollback(by="night shift", reason="complaints")
        *_, last = eventually(lambda: recorded(3), seconds=10)
        time.sleep(2 * POLL_SECONDS)  # for the other worker to poll as well
    assert last.at == rolled_back.promoted_at
    assert last.detail == {
        "version": old.version,
        "promoted_at": rolled_back.promoted_at.isoformat(),
        "by": "night shift",
        "reason": "rollback: complaints",
        "previous": version,
    }
    assert len(recorded(3) or []) == 3, "each promotion once, although two workers record it"


def test_promotions_are_recorded_after_a_database_outage(isolated_home: ServiceHome, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("logitrack_service.predictions.model_reloader.RETRY_SECONDS", 0.1)
    attempts = []

    async def fail_twice(*arguments: Any) -> None:
        attempts.append(arguments)
        if len(attempts) < 3:
            raise OperationalError("insert", {}, ConnectionError("away"))
        await record_promotions(*arguments)

    monkeypatch.setattr("logitrack_service.predictions.model_reloader.record_promotions", fail_twice)
    with isolated_home.worker() as client:
        found = eventually(
            lambda: isolated_home.run("select detail from service.audit_events where event = 'model_promoted'"),
            seconds=15,
        )
        assert client.get("/health/ready").json()["status"] == "ok"
    assert len(found) == 1
    assert len(attempts) == 3


def break_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:40])


def break_tables(folder: Path) -> None:
    (folder / "tables.npz").unlink()


def break_manifest(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("constant", "improved"))


@pytest.mark.parametrize("damage", [break_model, break_tables, break_manifest, None])
def test_broken_champion_leaves_the_previous_model_loaded(
    isolated_home: ServiceHome, new_user: Callable[..., User], damage: Callable[[Path], None] | None
):
    store = ModelRegistry(isolated_home.home / "models")

    def ready() -> Any:
        return client.get("/health/ready")

    served_first = store.champion()
    assert served_first is not None
    bad = store.promote(
        publish_model(isolated_home.home, minutes=50.0, number=3), by="test", reason="damaged by the test"
    )
    pointer = store.champion_file.read_text()
    store.promote(served_first.version, by="test", reason="so that no poll sees the version before the damage")
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        if damage is None:
            pointer = pointer[:30]
        else:
            damage(store.path(bad.version))
        store.champion_file.write_text(pointer)
        eventually(lambda: ready().json()["status"] == "degraded", seconds=5)
        assert ready().status_code == 200
        assert "cannot be loaded" in ready().json()["checks"]["model"]["reason"]
        assert "/" not in ready().json()["checks"]["model"]["reason"], "clients without a login must not see paths"
        served = client.post("/predict", json=TRIP, headers=user.headers).json()
        assert served["estimated_duration_minutes"] == 20.0
        store.champion_file.unlink()
        promote_model(isolated_home.home, minutes=60.0, number=4)
        eventually(lambda: ready().json()["status"] == "ok", seconds=5)
        assert client.post("/predict", json=TRIP, headers=user.headers).json()["estimated_duration_minutes"] == 60.0


def test_altered_files_of_the_loaded_version_are_reported(
    isolated_home: ServiceHome, new_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
):
    for name in ("RECHECK_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(f"logitrack_service.predictions.model_reloader.{name}", 0.1)
    champion = ModelRegistry(isolated_home.home / "models").champion()
    assert champion is not None
    file = isolated_home.home / "models" / champion.version / "model.onnx"
    content = file.read_bytes()
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        file.write_bytes(content[:-1] + b"!")
        found = eventually(lambda: client.get("/health/ready").json()["checks"]["model"].get("reason"), seconds=10)
        assert "(ArtifactError)" in found
        served = client.post("/predict", json=TRIP, headers=user.headers).json()
        assert served["estimated_duration_minutes"] == 20.0
        file.write_bytes(content)
        eventually(lambda: client.get("/health/ready").json()["status"] == "ok", seconds=10)


def test_forged_champion_is_not_served(isolated_home: ServiceHome, new_user: Callable[..., User]):
    settings = isolated_home.settings.model_copy(update={"registry_key": SecretStr("k" * 32)})
    signed = signed_registry(settings)
    champion = ModelRegistry(isolated_home.home / "models").champion()
    assert champion is not None
    signed.promote(champion.version, by="an operator", reason="sign it")
    with TestClient(create_app(settings, ServiceSettings(**QUICK_HASHES)), raise_server_exceptions=False) as client:
        user = new_user(client=client, home=isolated_home)
        forged = promote_model(
            isolated_home.home, minutes=1.0, number=7
        )  # by who can write the folder, without the key
        eventually(lambda: client.get("/health/ready").json()["status"] == "degraded", seconds=10)
        assert "(ArtifactError)" in client.get("/health/ready").json()["checks"]["model"]["reason"]
        served = client.post("/predict", json=TRIP, headers=user.headers).json()
        assert served["model_version"] == champion.version
        assert forged not in {row["version"] for row in client.get("/models", headers=user.headers).json()["history"]}
        signed.promote(forged, by="an operator", reason="trusted after all")
        eventually(lambda: client.get("/health/ready").json()["status"] == "ok", seconds=10)
        assert client.post("/predict", json=TRIP, headers=user.headers).json()["model_version"] == forged


def test_missing_champion_is_reported(isolated_home: ServiceHome, new_user: Callable[..., User]):
    ModelRegistry(isolated_home.home / "models").champion_file.unlink()
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        response = client.post("/predict", json=TRIP, headers=user.headers)
        assert response.status_code == 503
        assert "no champion yet" in response.json()["detail"]
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
