"""Predictions, outcomes and the model behind them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient
from sqlalchemy.exc import OperationalError

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_service.observability import metrics
from logitrack_service.predictions import prediction_log as prediction_log
from logitrack_service.predictions import scoring
from logitrack_service.predictions.identifiers import new_ids
from logitrack_service.predictions.model_reloader import POLL_SECONDS
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.predictions.promotions import record_promotions
from logitrack_service.predictions.schemas import PredictionRequest
from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.models import promote_model, publish_model

TRIP = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:30:00"}


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """What a check answers once it answers something."""
    deadline = time.monotonic() + seconds
    while True:
        if found := check():
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_an_answer_says_what_it_rests_on(client: TestClient, user: User):
    answer = client.post("/predict", json=TRIP, headers=user.headers).json()
    UUID(answer["prediction_id"])
    assert answer["estimated_duration_minutes"] == 20.0
    assert answer["interval"]["level"] == 0.8
    assert answer["interval"]["low_minutes"] < 20.0 < answer["interval"]["high_minutes"]
    assert answer["arrival_at"] == "2019-07-01T08:50:00-04:00"
    assert (answer["support"], answer["extrapolating"]) == (40, False)
    assert (answer["distance_miles"], answer["distance_source"]) == (None, "none")
    assert answer["trained_through"] == "2019-06"


def test_a_planned_distance_is_used_and_named(client: TestClient, user: User):
    answer = client.post("/predict", json={**TRIP, "distance_miles": 7.5}, headers=user.headers).json()
    assert answer["estimated_duration_minutes"] == 10.0
    assert (answer["distance_miles"], answer["distance_source"]) == (7.5, "given")


def test_a_higher_level_is_a_wider_interval(client: TestClient, user: User):
    def width(level: float) -> float:
        interval = client.post("/predict", json={**TRIP, "level": level}, headers=user.headers).json()["interval"]
        return interval["high_minutes"] - interval["low_minutes"]

    assert width(0.5) < width(0.8) < width(0.95)


def test_hardly_any_trips_are_called_extrapolating(client: TestClient, user: User):
    answer = client.post("/predict", json={**TRIP, "dropoff_zone": 99}, headers=user.headers).json()
    assert (answer["support"], answer["extrapolating"]) == (0, True)


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
def test_times_are_new_yorks(client: TestClient, user: User, asked: str, pickup: str, arrival: str):
    answer = client.post("/predict", json={**TRIP, "pickup_at": asked}, headers=user.headers).json()
    assert (answer["pickup_at"], answer["arrival_at"]) == (pickup, arrival)


def test_without_a_time_it_is_now(client: TestClient, user: User):
    answer = client.post("/predict", json={"pickup_zone": 1, "dropoff_zone": 2}, headers=user.headers).json()
    asked = datetime.fromisoformat(answer["pickup_at"])
    assert abs(asked - datetime.now(asked.tzinfo)) < timedelta(seconds=10)


def test_every_wrong_field_is_named(client: TestClient, user: User):
    body = {"pickup_zone": "161", "pickup_at": "soon", "fleet": "blue", "level": 2, "wheels": 4}
    response = client.post("/predict", json=body, headers=user.headers)
    assert response.status_code == 422
    wrong = {error["field"] for error in response.json()["errors"]}
    assert wrong == {"pickup_zone", "dropoff_zone", "pickup_at", "fleet", "level", "wheels"}


@pytest.mark.parametrize("zone", [0, -1, 264, 161.5, "161", None, True, [161], 10**30])
def test_no_zone_is_guessed(client: TestClient, user: User, zone: Any):
    assert client.post("/predict", json={**TRIP, "pickup_zone": zone}, headers=user.headers).status_code == 422


@pytest.mark.parametrize("at", ["1999-01-01T00:00:00", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", 1562000000])
def test_times_that_the_model_knows_nothing_about_are_refused(client: TestClient, user: User, at: Any):
    response = client.post("/predict", json={**TRIP, "pickup_at": at}, headers=user.headers)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["pickup_at"]


def test_a_bad_row_of_a_batch_gets_its_own_error(client: TestClient, user: User):
    rows = [TRIP, {**TRIP, "pickup_zone": 999}, {"dropoff_zone": "x"}, 5, {**TRIP, "distance_miles": 3}]
    answer = client.post("/predict/batch", json={"trips": rows}, headers=user.headers).json()
    assert (answer["predicted"], answer["failed"]) == (2, 3)
    results = answer["results"]
    assert [round(row.get("estimated_duration_minutes", -1)) for row in results] == [20, -1, -1, -1, 10]
    assert {error["field"] for error in results[2]["error"]["errors"]} == {"pickup_zone", "dropoff_zone"}
    assert results[1]["error"]["errors"][0]["field"] == "pickup_zone"
    assert set(results[0]) >= {"prediction_id", "interval", "arrival_at", "support"}


def test_a_batch_may_be_ndjson(client: TestClient, user: User):
    lines = [json.dumps(TRIP), "{not json", json.dumps({**TRIP, "dropoff_zone": 7})]
    headers = {**user.headers, "Content-Type": "application/x-ndjson"}
    answer = client.post("/predict/batch", content="\n".join(lines) + "\n", headers=headers).json()
    assert [("error" in row) for row in answer["results"]] == [False, True, False]


def test_a_batch_agrees_with_single_questions(client: TestClient, user: User):
    rows = [{**TRIP, "pickup_at": f"2019-07-{day:02}T{day:02}:15:00Z"} for day in range(1, 20)]
    batch = client.post("/predict/batch", json={"trips": rows}, headers=user.headers).json()["results"]
    for row, in_batch in zip(rows, batch, strict=True):
        single = client.post("/predict", json=row, headers=user.headers).json()
        for field in ("estimated_duration_minutes", "interval", "pickup_at", "arrival_at", "support"):
            assert single[field] == in_batch[field]


def test_a_batch_has_its_limits(client: TestClient, user: User):
    def ask(rows: list[Any]) -> int:
        return client.post("/predict/batch", json={"trips": rows}, headers=user.headers).status_code

    assert ask([TRIP] * 10_000) == 200
    assert ask([TRIP] * 10_001) == 422
    assert ask([]) == 422
    assert client.post("/predict/batch", content=b" " * 5_000_000, headers=user.headers).status_code == 413


def test_a_matrix_has_a_row_for_each_pickup_zone(client: TestClient, user: User):
    body = {"pickup_zones": [1, 2, 3], "dropoff_zones": [99, 5], "pickup_at": TRIP["pickup_at"]}
    matrix = client.post("/predict/matrix", json=body, headers=user.headers).json()
    assert matrix["duration_minutes"] == [[20.0, 20.0]] * 3
    assert matrix["support"] == [[0, 40]] * 3
    body["pickup_zones"] = list(range(1, 102))
    assert client.post("/predict/matrix", json=body, headers=user.headers).status_code == 422


def test_departures_say_when_to_leave(client: TestClient, user: User):
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
    assert never.json()["leave_by"] is None


def test_predictions_are_logged_whole(service_home: ServiceHome, client: TestClient, user: User):
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


def test_shutting_down_flushes_the_log(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        trips = {"trips": [TRIP] * 7_000}
        answer = client.post("/predict/batch", json=trips, headers=user.headers).json()
    ids = {row["prediction_id"] for row in answer["results"]}
    stored = {str(row.prediction_id) for row in isolated_home.run("select prediction_id from service.predictions")}
    assert stored == ids
    assert len(ids) == 7_000


def test_questions_at_the_same_moment_get_their_own_answers(service_home: ServiceHome, client: TestClient, user: User):
    asked = [
        {"pickup_zone": 1 + number, "dropoff_zone": 132, "fleet": ("yellow", "green")[number % 2],
         "pickup_at": f"2019-07-01T{number % 24:02}:30:00", "level": (0.8, 0.9, 0.5)[number % 3]}
        for number in range(60)
    ]  # fmt: skip
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda body: client.post("/predict", json=body, headers=user.headers).json(), asked))
    for body, answer in zip(asked, together, strict=True):
        assert answer["fleet"] == body["fleet"]
        assert answer["interval"]["level"] == body["level"]
        assert answer["pickup_at"].startswith(body["pickup_at"])
        alone = client.post("/predict", json=body, headers=user.headers).json()
        for name in ("estimated_duration_minutes", "interval", "arrival_at", "support"):
            assert answer[name] == alone[name]
    ids = [answer["prediction_id"] for answer in together]
    assert len(set(ids)) == 60
    logged = "select prediction_id, pickup_zone from service.predictions where prediction_id = any(:ids)"
    rows = eventually(lambda: found if len(found := service_home.run(logged, ids=ids)) == 60 else None)
    assert {str(row.prediction_id): row.pickup_zone for row in rows} == {
        answer["prediction_id"]: body["pickup_zone"] for body, answer in zip(asked, together, strict=True)
    }


def test_a_full_log_drops_and_counts_and_never_blocks(
    service_home: ServiceHome, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    def dropped() -> float:
        return metrics.prediction_log_rows.labels("dropped")._value.get()

    monkeypatch.setattr(prediction_log, "MAX_WAITING", 3)
    queue = PredictionLog("postgresql://nobody@127.0.0.1:1/nothing")  # and no writer: nothing is ever stored
    serving = client.app.state.service.champion.serving()
    before = dropped()
    for _ in range(8):
        queue.add(scoring.predict_requests(serving, [PredictionRequest(161, 132)], [1], level=0.8)[1])
    assert queue.waiting == 3
    assert dropped() - before == 5


def test_an_outcome_is_stored_before_it_is_acknowledged_and_only_once(
    service_home: ServiceHome, client: TestClient, user: User
):
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


def test_outcomes_come_in_batches_and_before_their_predictions_are_logged(client: TestClient, user: User):
    reports = [{"prediction_id": id_, "duration_minutes": 9.0} for id_ in new_ids(500)]
    answer = client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()
    assert answer == {"recorded": 500, "already_known": 0, "conflicting": []}
    reports[0]["duration_minutes"] = 99.0
    answer = client.post("/outcomes", json={"outcomes": reports}, headers=user.headers).json()
    assert answer == {"recorded": 0, "already_known": 499, "conflicting": [reports[0]["prediction_id"]]}


def test_nobody_reports_in_anothers_place(service_home: ServiceHome, client: TestClient, new_user: Callable[..., User]):
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
        {"prediction_id": new_ids(1)[0], "duration_minutes": -5},
        {"prediction_id": new_ids(1)[0]},
        {"outcomes": []},
        [],
    ],
)
def test_what_is_no_outcome_is_refused(client: TestClient, user: User, report: Any):
    assert client.post("/outcomes", json=report, headers=user.headers).status_code == 422


def test_live_error_comes_from_outcomes(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        answer = client.post("/predict/batch", json={"trips": [TRIP] * 4}, headers=user.headers).json()
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
            "pickup_hour": 8,
            "outcomes": 4,
            "mae": 6.0,
            "bias": -5.0,
            "coverage": 0.75,
        }
    ]


def test_a_new_champion_is_served_within_five_seconds_by_every_worker(
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


def test_promotions_are_in_the_audit_table_once_with_who_and_why(isolated_home: ServiceHome):
    store = ModelRegistry(isolated_home.home / "models")
    old = store.champion()
    assert old is not None
    version = publish_model(isolated_home.home, minutes=34.0, number=2)
    store.promote(version, by="an operator", reason="before any service ran")

    def written(count: int) -> list[Any] | None:
        found = isolated_home.run(
            "select at, detail from service.audit_events where event = 'model_promoted' order by event_id"
        )
        return found if len(found) >= count else None

    with isolated_home.worker(), isolated_home.worker():
        before = eventually(lambda: written(2), seconds=10)
        assert [row.detail["version"] for row in before] == [old.version, version]
        gone_back = store.rollback(by="somebody at night", reason="complaints")
        *_, last = eventually(lambda: written(3), seconds=10)
        time.sleep(2 * POLL_SECONDS)  # for the other worker to have seen it too
    assert last.at == gone_back.promoted_at
    assert last.detail == {
        "version": old.version,
        "promoted_at": gone_back.promoted_at.isoformat(),
        "by": "somebody at night",
        "reason": "rollback: complaints",
        "previous": version,
    }
    assert len(written(3) or []) == 3, "each once, whichever of the two workers saw it first"


def test_promotions_are_written_down_once_the_database_is_back(
    isolated_home: ServiceHome, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("logitrack_service.predictions.model_reloader.RETRY_SECONDS", 0.1)
    tries = []

    async def unreachable_at_first(*arguments: Any) -> None:
        tries.append(arguments)
        if len(tries) < 3:
            raise OperationalError("insert", {}, ConnectionError("away"))
        await record_promotions(*arguments)

    monkeypatch.setattr("logitrack_service.predictions.model_reloader.record_promotions", unreachable_at_first)
    with isolated_home.worker() as client:
        found = eventually(
            lambda: isolated_home.run("select detail from service.audit_events where event = 'model_promoted'"),
            seconds=15,
        )
        assert client.get("/health/ready").json()["status"] == "ok"
    assert len(found) == 1
    assert len(tries) == 3


def break_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:40])


def break_tables(folder: Path) -> None:
    (folder / "tables.npz").unlink()


def break_manifest(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("constant", "improved"))


@pytest.mark.parametrize("damage", [break_model, break_tables, break_manifest, None])
def test_a_broken_champion_leaves_the_old_one_serving(
    isolated_home: ServiceHome, new_user: Callable[..., User], damage: Callable[[Path], None] | None
):
    store = ModelRegistry(isolated_home.home / "models")

    def ready() -> Any:
        return client.get("/health/ready")

    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        store.promote(publish_model(isolated_home.home, minutes=50.0, number=3), by="test", reason="to be damaged")
        pointer = store.champion_file.read_text()
        store.champion_file.unlink()  # the damage is to be done before the service looks
        if damage is None:
            pointer = pointer[:30]
        else:
            damage(store.path(json.loads(pointer)["version"]))
        store.champion_file.write_text(pointer)
        eventually(lambda: ready().json()["status"] == "degraded", seconds=5)
        assert ready().status_code == 200
        assert "cannot be loaded" in ready().json()["checks"]["model"]["reason"]
        served = client.post("/predict", json=TRIP, headers=user.headers).json()
        assert served["estimated_duration_minutes"] == 20.0
        store.champion_file.unlink()
        promote_model(isolated_home.home, minutes=60.0, number=4)
        eventually(lambda: ready().json()["status"] == "ok", seconds=5)
        assert client.post("/predict", json=TRIP, headers=user.headers).json()["estimated_duration_minutes"] == 60.0


def test_without_a_champion_the_service_says_so(isolated_home: ServiceHome, new_user: Callable[..., User]):
    ModelRegistry(isolated_home.home / "models").champion_file.unlink()
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        response = client.post("/predict", json=TRIP, headers=user.headers)
        assert response.status_code == 503
        assert "no champion yet" in response.json()["detail"]
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
