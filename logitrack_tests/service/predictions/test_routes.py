"""Endpoints of the prediction API."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.predictions.requests import TRIP


def test_prediction_reports_interval_support_and_training_period(client: TestClient, user: User):
    answer = client.post("/predict", json=TRIP, headers=user.headers).json()
    UUID(answer["prediction_id"])
    assert answer["estimated_duration_minutes"] == 20.0
    assert answer["interval"]["level"] == 0.8
    assert answer["interval"]["low_minutes"] < 20.0 < answer["interval"]["high_minutes"]
    assert answer["arrival_at"] == "2019-07-01T08:50:00-04:00"
    assert (answer["support"], answer["extrapolating"]) == (40, False)
    assert (answer["distance_miles"], answer["distance_source"]) == (None, "none")
    assert answer["trained_through"] == "2019-06"


def test_given_distance_is_used_and_reported(client: TestClient, user: User):
    answer = client.post("/predict", json={**TRIP, "distance_miles": 7.5}, headers=user.headers).json()
    assert answer["estimated_duration_minutes"] == 10.0
    assert (answer["distance_miles"], answer["distance_source"]) == (7.5, "given")


def test_higher_level_widens_interval(client: TestClient, user: User):
    def width(level: float) -> float:
        interval = client.post("/predict", json={**TRIP, "level": level}, headers=user.headers).json()["interval"]
        return interval["high_minutes"] - interval["low_minutes"]

    assert width(0.5) < width(0.8) < width(0.95)


def test_low_support_is_reported_as_extrapolating(client: TestClient, user: User):
    answer = client.post("/predict", json={**TRIP, "dropoff_zone": 99}, headers=user.headers).json()
    assert (answer["support"], answer["extrapolating"]) == (0, True)


def test_pickup_far_beyond_the_training_months_is_reported_as_extrapolating(client: TestClient, user: User):
    answers = [
        client.post("/predict", json={**TRIP, "pickup_at": at}, headers=user.headers).json()["extrapolating"]
        for at in ("2020-06-30T23:59:59", "2020-07-01T00:00:00")
    ]
    assert answers == [False, True]


def test_fleet_defaults_to_that_of_the_model(isolated_home: ServiceHome, new_user: Callable[..., User]):
    promote_model(isolated_home.home, minutes=30.0, fleets=("green",))
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        answer = client.post("/predict", json=TRIP, headers=user.headers).json()
        assert (answer["fleet"], answer["extrapolating"]) == ("green", False)
        given = client.post("/predict", json={**TRIP, "fleet": "yellow"}, headers=user.headers).json()
        assert (given["fleet"], given["extrapolating"]) == ("yellow", True)
        (row,) = client.post("/predict/batch", json={"trips": [TRIP]}, headers=user.headers).json()["results"]
        assert row["extrapolating"] is False
    logged = isolated_home.run("select fleet from service.predictions order by at")
    assert [row.fleet for row in logged] == ["green", "yellow", "green"]


@pytest.mark.parametrize(
    ("asked", "pickup", "arrival"),
    [
        ("2019-07-01T12:30:00Z", "2019-07-01T08:30:00-04:00", "2019-07-01T08:50:00-04:00"),
        ("2019-07-01T08:30:00+02:00", "2019-07-01T02:30:00-04:00", "2019-07-01T02:50:00-04:00"),
        ("2019-12-31T23:50:00", "2019-12-31T23:50:00-05:00", "2020-01-01T00:10:00-05:00"),
        # Spring: at 02:00 clocks jump to 03:00. Autumn: the hour from 01:00 comes twice.
        ("2019-03-10T01:50:00", "2019-03-10T01:50:00-05:00", "2019-03-10T03:10:00-04:00"),
        ("2019-11-03T01:50:00", "2019-11-03T01:50:00-04:00", "2019-11-03T01:10:00-05:00"),
        ("2019-11-03T06:30:00Z", "2019-11-03T01:30:00-05:00", "2019-11-03T01:50:00-05:00"),
    ],
)
def test_pickup_and_arrival_are_in_new_york_time(client: TestClient, user: User, asked: str, pickup: str, arrival: str):
    answer = client.post("/predict", json={**TRIP, "pickup_at": asked}, headers=user.headers).json()
    assert (answer["pickup_at"], answer["arrival_at"]) == (pickup, arrival)


def test_pickup_time_defaults_to_now(client: TestClient, user: User):
    answer = client.post("/predict", json={"pickup_zone": 1, "dropoff_zone": 2}, headers=user.headers).json()
    asked = datetime.fromisoformat(answer["pickup_at"])
    assert abs(asked - datetime.now(asked.tzinfo)) < timedelta(seconds=10)


def test_all_invalid_fields_are_reported(client: TestClient, user: User):
    body = {"pickup_zone": "161", "pickup_at": "soon", "fleet": "blue", "level": 2, "wheels": 4}
    response = client.post("/predict", json=body, headers=user.headers)
    assert response.status_code == 422
    wrong = {error["field"] for error in response.json()["errors"]}
    assert wrong == {"pickup_zone", "dropoff_zone", "pickup_at", "fleet", "level", "wheels"}


@pytest.mark.parametrize("zone", [0, -1, 264, 161.5, "161", None, True, [161], 10**30])
def test_invalid_zone_is_rejected(client: TestClient, user: User, zone: Any):
    assert client.post("/predict", json={**TRIP, "pickup_zone": zone}, headers=user.headers).status_code == 422


@pytest.mark.parametrize("at", ["1999-01-01T00:00:00", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", 1562000000])
def test_pickup_time_outside_the_calendar_is_rejected(client: TestClient, user: User, at: Any):
    response = client.post("/predict", json={**TRIP, "pickup_at": at}, headers=user.headers)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["pickup_at"]


def test_invalid_batch_row_gets_its_own_error(client: TestClient, user: User):
    rows = [TRIP, {**TRIP, "pickup_zone": 999}, {"dropoff_zone": "x"}, 5, {**TRIP, "distance_miles": 3}]
    answer = client.post("/predict/batch", json={"trips": rows}, headers=user.headers).json()
    assert (answer["predicted"], answer["failed"]) == (2, 3)
    results = answer["results"]
    assert [round(row.get("estimated_duration_minutes", -1)) for row in results] == [20, -1, -1, -1, 10]
    assert {error["field"] for error in results[2]["error"]["errors"]} == {"pickup_zone", "dropoff_zone"}
    assert results[1]["error"]["errors"][0]["field"] == "pickup_zone"
    assert set(results[0]) >= {"prediction_id", "interval", "arrival_at", "support"}


def test_batch_accepts_ndjson(client: TestClient, user: User):
    lines = [json.dumps(TRIP), "{not json", json.dumps({**TRIP, "dropoff_zone": 7})]
    headers = {**user.headers, "Content-Type": "application/x-ndjson"}
    answer = client.post("/predict/batch", content="\n".join(lines) + "\n", headers=headers).json()
    assert [("error" in row) for row in answer["results"]] == [False, True, False]


def test_batch_matches_single_predictions(client: TestClient, user: User):
    rows = [{**TRIP, "pickup_at": f"2019-07-{day:02}T{day:02}:15:00Z"} for day in range(1, 20)]
    batch = client.post("/predict/batch", json={"trips": rows}, headers=user.headers).json()["results"]
    for row, in_batch in zip(rows, batch, strict=True):
        single = client.post("/predict", json=row, headers=user.headers).json()
        for field in ("estimated_duration_minutes", "interval", "pickup_at", "arrival_at", "support"):
            assert single[field] == in_batch[field]


def test_batch_size_limits(client: TestClient, user: User):
    def ask(rows: list[Any]) -> int:
        return client.post("/predict/batch", json={"trips": rows}, headers=user.headers).status_code

    assert ask([TRIP] * 10_000) == 200
    assert ask([TRIP] * 10_001) == 422
    assert ask([]) == 422
    assert client.post("/predict/batch", content=b" " * 5_000_000, headers=user.headers).status_code == 413


def test_matrix_has_one_row_per_pickup_zone(client: TestClient, user: User):
    body = {"pickup_zones": [1, 2, 3], "dropoff_zones": [99, 5], "pickup_at": TRIP["pickup_at"]}
    matrix = client.post("/predict/matrix", json=body, headers=user.headers).json()
    assert matrix["duration_minutes"] == [[20.0, 20.0]] * 3
    assert matrix["support"] == [[0, 40]] * 3
    body["pickup_zones"] = list(range(1, 102))
    assert client.post("/predict/matrix", json=body, headers=user.headers).status_code == 422


def test_departures_report_latest_departure(client: TestClient, user: User):
    query = {
        "pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:00:00", "hours": 2,
        "arrive_by": "2019-07-01T09:30:00", "probability": 0.9,
    }  # fmt: skip
    answer = client.get("/predict/departures", params=query, headers=user.headers).json()
    assert len(answer["departures"]) == 9
    by = datetime.fromisoformat(answer["arrive_by"])
    in_time = [row for row in answer["departures"] if datetime.fromisoformat(row["arrival_by"]) <= by]
    assert answer["leave_by"] == in_time[-1]["pickup_at"] == "2019-07-01T09:00:00-04:00"
    sure = client.get("/predict/departures", params={**query, "probability": 0.975}, headers=user.headers).json()
    assert sure["leave_by"] <= answer["leave_by"]
    never = client.get(
        "/predict/departures", params={**query, "arrive_by": "2019-07-01T08:01:00"}, headers=user.headers
    )
    assert never.status_code == 422
    (error,) = never.json()["errors"]
    assert error["field"] == "arrive_by"
    assert "leaving at 2019-07-01 08:00 arrives by 2019-07-01 08:" in error["message"]
