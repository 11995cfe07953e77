"""Past answers: who may see them, what they are made of, and the same numbers computed again."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient
from rich.console import Console

from logitrack_assets.commands.explain import explain_prediction
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP
from logitrack_tests.service.predictions.test_live_correction import ask, report_rides


def record_of(client: TestClient, user: User, prediction_id: str) -> dict[str, Any]:
    """Return a prediction's record as soon as it is in the log."""

    def get() -> dict[str, Any] | None:
        response = client.get(f"/predictions/{prediction_id}", headers=user.headers)
        return response.json() if response.status_code == 200 else None

    record: dict[str, Any] = eventually(get)
    return record


def explain(home: ServiceHome, prediction_id: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    explain_prediction(home.settings, prediction_id, console, recompute=True)
    return console.file.getvalue()


def test_a_record_has_question_answer_training_and_outcome(client: TestClient, user: User):
    trip = {**TRIP, "distance_miles": 17.1, "fleet": "green", "level": 0.9}
    answer = client.post("/predict", json=trip, headers=user.headers).json()
    outcome = {"prediction_id": answer["prediction_id"], "duration_minutes": 24.5}
    client.post("/outcomes", json=outcome, headers=user.headers)
    record = record_of(client, user, answer["prediction_id"])
    for name in ("estimated_duration_minutes", "base_duration_minutes", "interval", "support", "model_version"):
        assert record[name] == answer[name], name
    for name in ("pickup_zone", "dropoff_zone", "fleet"):
        assert record[name] == trip[name], name
    assert record["distance_miles"] == pytest.approx(17.1)
    assert record["pickup_at"] == answer["pickup_at"]
    assert [row["month"] for row in record["training"]] == ["2019-06"]
    assert record["outcome"]["duration_minutes"] == 24.5
    assert record["outcome"]["implausible_reason"] == "pickup_long_before_prediction"
    assert record["contributions"] == {
        "route": 20.0, "time": 0.0, "recent_traffic": 0.0, "distance": -10.0, "live_correction": 0.0,
    }  # fmt: skip


def test_only_the_owner_and_admins_see_a_record(
    client: TestClient, user: User, admin: User, new_user: Callable[..., User]
):
    given = client.post("/predict", json=TRIP, headers=user.headers).json()["prediction_id"]
    record_of(client, user, given)
    assert record_of(client, admin, given)["prediction_id"] == given
    for other in (given, str(uuid.uuid4())):
        assert client.get(f"/predictions/{other}", headers=new_user("analyst").headers).status_code == 404
    assert client.get(f"/predictions/{given}").status_code == 401


def test_answers_are_the_same_numbers_after_promotions_rollbacks_and_restarts(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    """Single and batch answers of two versions, with live states in between, at odd levels and for a later pickup."""
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        isolated_home.run("update service.accounts set vouched = true")
        given = [ask(client, user)["prediction_id"]]
        for minutes, version in ((35.0, 1), (12.0, 2)):
            if version == 2:
                promote_model(isolated_home.home, minutes=30.0, number=2)
                eventually(lambda: ask(client, user)["base_duration_minutes"] == 30)
            report_rides(client, user, 60, minutes)
            learned = 60 * version
            eventually(lambda learned=learned: ask_for_position(isolated_home, client, user) >= learned, seconds=15)
            later = (datetime.now(NEW_YORK) + timedelta(hours=30)).isoformat()
            trips = [{**TRIP, "pickup_at": None, "distance_miles": 3.3}, {**TRIP, "pickup_at": later}]
            body = {"trips": trips, "level": 0.87654321}
            batch = client.post("/predict/batch", json=body, headers=user.headers).json()
            given += [row["prediction_id"] for row in batch["results"]]
        record = record_of(client, user, given[-1])
        assert record["contributions"]["live_correction"] != 0
        assert sum(record["contributions"].values()) == pytest.approx(record["estimated_duration_minutes"])
        assert record["live_position"] >= 120
    ModelRegistry(isolated_home.home / "models").rollback(by="ada", reason="test")
    with isolated_home.worker():
        for prediction_id in given:
            assert "identical" in explain(isolated_home, prediction_id)
            assert "not identical" not in explain(isolated_home, prediction_id)


def ask_for_position(home: ServiceHome, client: TestClient, user: User) -> int:
    """Return the position of the state that corrects an answer asked for now."""
    given = ask(client, user)["prediction_id"]
    rows = eventually(
        lambda: home.run("select live_position from service.predictions where prediction_id = :id", id=given)
    )
    return rows[0].live_position or 0


def test_an_answer_that_was_altered_is_told(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        given = ask(client, user)["prediction_id"]
        record_of(client, user, given)
    isolated_home.run("update service.predictions set duration_minutes = duration_minutes + 0.01")
    with pytest.raises(LogitrackError, match="differ"):
        explain(isolated_home, given)
    with pytest.raises(LogitrackError, match="no prediction"):
        explain(isolated_home, str(uuid.uuid4()))
    with pytest.raises(LogitrackError, match="not the id"):
        explain(isolated_home, "nonsense")


def test_an_answer_whose_state_is_no_longer_kept_says_so(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        given = ask(client, user)["prediction_id"]
        record_of(client, user, given)
    isolated_home.run("delete from service.live_states")
    with pytest.raises(LogitrackError, match="no longer kept"):
        explain(isolated_home, given)


def test_which_model_was_live_at_a_time_is_one_query(isolated_home: ServiceHome):
    with isolated_home.worker():
        eventually(lambda: isolated_home.run("select from analytics.champions"))
        second = promote_model(isolated_home.home, minutes=30.0, number=2)
        rows = eventually(
            lambda: isolated_home.run(
                "select * from analytics.champions where until is null and model_version = :name", name=second
            )
        )
    assert rows[0].promoted_by
    at = isolated_home.run(
        "select model_version from analytics.champions where since <= now() and (until is null or until > now())"
    )
    assert [row.model_version for row in at] == [second]
    assert len(isolated_home.run("select from analytics.champions where until is null")) == 1
