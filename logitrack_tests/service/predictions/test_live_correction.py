"""Live correction in the service: outcomes move the next answers of every worker, and survive what happens to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_service.observability import metrics
from logitrack_service.predictions import live_correction
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP

MODEL_MINUTES = 20.0


@pytest.fixture
def workers(isolated_home: ServiceHome) -> Iterator[list[TestClient]]:
    with ExitStack() as stack:
        yield [stack.enter_context(isolated_home.worker()) for _ in range(2)]


@pytest.fixture
def reporter(isolated_home: ServiceHome, workers: list[TestClient], new_user: Callable[..., User]) -> User:
    """A vouched account."""
    user = new_user(client=workers[0], home=isolated_home)
    isolated_home.run("update service.accounts set vouched = true")
    return user


def report_rides(client: TestClient, user: User, count: int, minutes: float) -> None:
    """Ask for rides that began an hour ago, and report that each took so many minutes."""
    hour_ago = datetime.now(NEW_YORK).replace(tzinfo=None) - timedelta(hours=1)
    trips = [{**TRIP, "pickup_at": hour_ago.isoformat()}] * count
    answered = client.post("/predict/batch", json={"trips": trips}, headers=user.headers).json()
    reports = [{"prediction_id": row["prediction_id"], "duration_minutes": minutes} for row in answered["results"]]
    assert client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()["recorded"] == count


def wait_until_decided(home: ServiceHome) -> None:
    """Wait until it has been decided of every outcome whether it counts."""
    eventually(lambda: not home.run("select from service.outcomes where live_position is null"))


def ask(client: TestClient, user: User) -> dict[str, Any]:
    trip = {**TRIP, "pickup_at": None}
    answer: dict[str, Any] = client.post("/predict", json=trip, headers=user.headers).json()
    return answer


def test_an_outcome_moves_the_next_answer_of_every_worker(
    workers: list[TestClient], reporter: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(workers[0], reporter)
    assert before["estimated_duration_minutes"] == before["base_duration_minutes"] == MODEL_MINUTES
    assert before["live_correction_minutes"] == 0
    report_rides(workers[0], reporter, 1, 60.0)
    for worker in workers:
        eventually(lambda worker=worker: ask(worker, reporter)["live_correction_minutes"] > 0)
    first, second = (ask(worker, reporter) for worker in workers)
    assert first["estimated_duration_minutes"] == second["estimated_duration_minutes"]
    assert first["base_duration_minutes"] == MODEL_MINUTES
    total = first["base_duration_minutes"] + first["live_correction_minutes"]
    assert first["estimated_duration_minutes"] == pytest.approx(total)


def test_every_kind_of_question_is_corrected(workers: list[TestClient], reporter: User) -> None:
    client = workers[0]
    report_rides(client, reporter, 200, 40.0)
    eventually(lambda: ask(client, reporter)["estimated_duration_minutes"] > 30)
    batch = client.post("/predict/batch", json={"trips": [{**TRIP, "pickup_at": None}]}, headers=reporter.headers)
    (row,) = batch.json()["results"]
    assert row["estimated_duration_minutes"] > 30
    assert row["base_duration_minutes"] == MODEL_MINUTES
    assert row["interval"]["low_minutes"] < row["estimated_duration_minutes"] < row["interval"]["high_minutes"]
    matrix = {"pickup_zones": [TRIP["pickup_zone"]], "dropoff_zones": [TRIP["dropoff_zone"]]}
    assert client.post("/predict/matrix", json=matrix, headers=reporter.headers).json()["duration_minutes"][0][0] > 30
    query = {"pickup_zone": TRIP["pickup_zone"], "dropoff_zone": TRIP["dropoff_zone"], "hours": 1}
    departures = client.get("/predict/departures", params=query, headers=reporter.headers).json()["departures"]
    assert departures[0]["estimated_duration_minutes"] > 30


def test_outcomes_of_an_account_without_a_voucher_move_nothing(
    isolated_home: ServiceHome, workers: list[TestClient], new_user: Callable[..., User]
) -> None:
    user = new_user(client=workers[0], home=isolated_home)
    report_rides(workers[0], user, 50, 60.0)
    eventually(
        lambda: isolated_home.run(
            "select 1 where not exists (select from service.outcomes where live_position is null)"
        )
    )
    assert ask(workers[0], user)["live_correction_minutes"] == 0
    assert isolated_home.run("select distinct live_position from service.outcomes") == [(0,)]


def test_the_correction_survives_a_restart_and_a_promotion(
    isolated_home: ServiceHome, workers: list[TestClient], reporter: User
) -> None:
    report_rides(workers[0], reporter, 200, 40.0)
    eventually(lambda: ask(workers[0], reporter)["estimated_duration_minutes"] > 30)
    promote_model(isolated_home.home, minutes=30.0, number=2)
    promoted = eventually(lambda: _answer_of(workers[0], reporter, base=30.0))
    assert 34 < promoted["estimated_duration_minutes"] < 44, "its first answer knows what the outcomes taught"
    with isolated_home.worker() as restarted:
        first = ask(restarted, reporter)
    assert first["estimated_duration_minutes"] == pytest.approx(promoted["estimated_duration_minutes"], abs=0.02)


def _answer_of(client: TestClient, user: User, *, base: float) -> dict[str, Any] | None:
    answer = ask(client, user)
    return answer if answer["base_duration_minutes"] == base else None


def test_without_notices_a_worker_looks_by_itself(
    isolated_home: ServiceHome, workers: list[TestClient], reporter: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logitrack_service.predictions.outcomes.CHANNEL", "nobody_listens")
    report_rides(workers[0], reporter, 5, 60.0)
    eventually(lambda: ask(workers[1], reporter)["live_correction_minutes"] > 0)
    assert live_correction.CHANNEL != "nobody_listens"


def test_answers_are_logged_with_their_base_and_the_position_of_the_state(
    isolated_home: ServiceHome, workers: list[TestClient], reporter: User
) -> None:
    report_rides(workers[0], reporter, 40, 60.0)
    eventually(lambda: ask(workers[0], reporter)["live_correction_minutes"] > 0)
    answer = ask(workers[0], reporter)
    (row,) = eventually(
        lambda: isolated_home.run(
            "select * from service.predictions where prediction_id = :id", id=answer["prediction_id"]
        )
    )
    assert row.base_minutes == pytest.approx(MODEL_MINUTES)
    assert row.duration_minutes == pytest.approx(answer["estimated_duration_minutes"], abs=0.005)
    assert row.live_position == 40


def test_a_stranger_with_absurd_outcomes_gets_a_clear_answer_and_moves_nothing(
    isolated_home: ServiceHome, workers: list[TestClient], reporter: User
) -> None:
    """0.1 minutes, a whole day, a ride that cannot be over yet: stored, with the reason, and not learned."""
    for minutes in (0.1, 1_440.0):
        report_rides(workers[0], reporter, 3, minutes)
    future = (datetime.now(NEW_YORK).replace(tzinfo=None) + timedelta(hours=2)).isoformat()
    given = workers[0].post("/predict", json={**TRIP, "pickup_at": future}, headers=reporter.headers).json()
    report = {"prediction_id": given["prediction_id"], "duration_minutes": 60}
    assert workers[0].post("/outcomes", json=report, headers=reporter.headers).status_code == 200
    eventually(
        lambda: isolated_home.run(
            "select 1 where not exists (select from service.outcomes where live_position is null)"
        )
    )
    reasons = isolated_home.run("select distinct implausible_reason from analytics.outcomes order by 1")
    assert [row.implausible_reason for row in reasons] == ["reported_before_end", "too_long", "too_short"]
    assert ask(workers[0], reporter)["live_correction_minutes"] == 0


def test_metrics_and_state_tell_what_is_learned(
    isolated_home: ServiceHome, workers: list[TestClient], reporter: User
) -> None:
    report_rides(workers[0], reporter, 40, 60.0)
    eventually(lambda: ask(workers[0], reporter)["live_correction_minutes"] > 0)
    state = workers[0].get("/model/live", headers=reporter.headers).json()
    assert (state["position"], state["outcomes"], state["excluded_accounts"]) == (40, 40, 0)
    assert state["zones"]["enabled"]
    assert state["zones"]["difference_minutes"] < 0, "it helps"
    text = metrics.exposition().decode()
    assert 'logitrack_live_correction_enabled{variant="zones"} 1.0' in text
    assert "logitrack_live_outcomes_total" in text
