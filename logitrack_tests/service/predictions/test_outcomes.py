"""Reporting of actual durations."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_service.auth.keys import Keys, key_id
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_tests.service.conftest import KEY, ServiceHome, User
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.predictions.requests import TRIP

IDS = PredictionIds(Keys(current=key_id(KEY.encode()), by_id={key_id(KEY.encode()): KEY.encode()}))


def issue_ids(home: ServiceHome, user: User, count: int) -> list[str]:
    """Issue prediction ids as the service does, without predictions."""
    ((account_id,),) = home.run("select account_id from service.accounts where username = :name", name=user.username)
    return IDS.issue([account_id] * count)


def test_outcome_is_stored_once_and_before_the_response(service_home: ServiceHome, client: TestClient, user: User):
    given = client.post("/predict", json=TRIP, headers=user.headers).json()["prediction_id"]
    report = {"prediction_id": given, "duration_minutes": 24.5}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post("/outcomes", json=report, headers=user.headers), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["recorded"] for answer in answers) == 1
    rows = service_home.run("select duration_minutes from service.outcomes where prediction_id = :id", id=given)
    assert [row.duration_minutes for row in rows] == [24.5]
    contradiction = client.post("/outcomes", json={**report, "duration_minutes": 3}, headers=user.headers)
    assert contradiction.status_code == 409


def test_outcome_batch_is_accepted_before_the_predictions_are_logged(
    service_home: ServiceHome, client: TestClient, user: User
):
    reports = [{"prediction_id": id_, "duration_minutes": 9.0} for id_ in issue_ids(service_home, user, 500)]
    answer = client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()
    assert answer == {"recorded": 500, "already_known": 0, "conflicting": [], "unknown": []}
    reports[0]["duration_minutes"] = 99.0
    answer = client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()
    assert answer == {
        "recorded": 0, "already_known": 499, "conflicting": [reports[0]["prediction_id"]], "unknown": [],
    }  # fmt: skip


def test_ids_that_were_not_issued_to_the_account_are_unknown_and_not_stored(
    service_home: ServiceHome, client: TestClient, new_user: Callable[..., User]
):
    user, other = new_user(), new_user()
    (own,), (foreign,) = issue_ids(service_home, user, 1), issue_ids(service_home, other, 1)
    invented = [f"{own[:-12]}{number:012x}" for number in range(300)]
    reports = [{"prediction_id": id_, "duration_minutes": 9.0} for id_ in [own, foreign, *invented]]
    answer = client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()
    assert answer == {"recorded": 1, "already_known": 0, "conflicting": [], "unknown": [foreign, *invented]}
    stored = service_home.run(
        "select count(*) as rows from service.outcomes where prediction_id = any(cast(:ids as uuid[]))",
        ids=[foreign, *invented],
    )
    assert stored[0].rows == 0
    single = client.post("/outcomes", json=reports[1], headers=user.headers).json()
    assert single == {"recorded": 0, "already_known": 0, "conflicting": [], "unknown": [foreign]}


def test_id_of_an_earlier_release_is_found_in_the_log(service_home: ServiceHome, client: TestClient, user: User):
    given = client.post("/predict", json=TRIP, headers=user.headers).json()["prediction_id"]
    earlier = f"{given[:-8]}{'0' * 8}"  # without a code
    report = {"prediction_id": earlier, "duration_minutes": 24.5}
    assert client.post("/outcomes", json=report, headers=user.headers).json()["unknown"] == [earlier]
    eventually(
        lambda: service_home.run(
            "update service.predictions set prediction_id = :earlier where prediction_id = :given returning at",
            earlier=earlier,
            given=given,
        )
    )
    assert client.post("/outcomes", json=report, headers=user.headers).json()["recorded"] == 1


def test_outcome_of_another_account_does_not_block_the_owner(
    service_home: ServiceHome, client: TestClient, new_user: Callable[..., User]
):
    owner, mallory = new_user(), new_user()
    given = client.post("/predict", json=TRIP, headers=owner.headers).json()["prediction_id"]
    client.post("/outcomes", json={"prediction_id": given, "duration_minutes": 170}, headers=mallory.headers)
    answer = client.post("/outcomes", json={"prediction_id": given, "duration_minutes": 21}, headers=owner.headers)
    assert answer.json()["recorded"] == 1
    (row,) = eventually(
        lambda: service_home.run("select * from analytics.outcomes where prediction_id = :id", id=given)
    )
    assert row.real_minutes == 21


@pytest.mark.parametrize(
    "report",
    [
        {"prediction_id": "nonsense", "duration_minutes": 5},
        {"prediction_id": "00000000-0000-4000-8000-000000000000", "duration_minutes": 5},
        {"prediction_id": "ffffffff-ffff-7fff-bfff-ffffffffffff", "duration_minutes": 5},
        {"prediction_id": IDS.issue([1])[0], "duration_minutes": -5},
        {"prediction_id": IDS.issue([1])[0]},
        {"outcomes": []},
        [],
    ],
)
def test_invalid_outcome_is_rejected(client: TestClient, user: User, report: Any):
    assert client.post("/outcomes", json=report, headers=user.headers).status_code == 422


def test_live_error_is_computed_from_outcomes(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        isolated_home.run("update service.accounts set vouched = true")
        hour_ago = datetime.now(NEW_YORK).replace(tzinfo=None) - timedelta(hours=1)
        trip = {**TRIP, "pickup_at": hour_ago.isoformat()}
        answer = client.post("/predict/batch", json={"trips": [trip] * 4}, headers=user.headers).json()
        real = [22.0, 18.0, 20.0, 40.0]
        reports = [
            {"prediction_id": row["prediction_id"], "duration_minutes": minutes}
            for row, minutes in zip(answer["results"], real, strict=True)
        ]
        client.post("/outcomes", json={"outcomes": reports}, headers=user.headers)
        rows = eventually(lambda: client.get("/analytics/live-error", headers=user.headers).json()["rows"])
        eventually(lambda: client.get("/analytics/live-error", headers=user.headers).json()["trips"] == 4)
        rows = client.get("/analytics/live-error", headers=user.headers).json()["rows"]
    assert rows == [
        {
            "model_version": answer["model_version"],
            "pickup_hour": hour_ago.hour,
            "outcomes": 4,
            "mae": 6.0,
            "bias": -5.0,
            "coverage": 0.75,
        }
    ]
