"""When to leave: the search goes back from the time to arrive by, and later departures never arrive earlier."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import DEFAULT_LEVEL, Predictor
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_service.errors import InvalidFieldsError
from logitrack_service.predictions.departures import DepartureQuery, compare_departures, isotonic
from logitrack_service.predictions.model_reloader import LoadedModel
from logitrack_service.predictions.schemas import DeparturesResponse, Trip
from logitrack_tests.service.conftest import User
from logitrack_tests.service.models import promote_model

JFK = {"pickup_zone": 161, "dropoff_zone": 132}


def ask(client: TestClient, user: User, **query: Any) -> Any:
    return client.get("/predict/departures", params={**JFK, **query}, headers=user.headers)


def wall_clock(moment: datetime) -> str:
    return moment.astimezone(NEW_YORK).replace(tzinfo=None).isoformat()


def test_departure_for_tomorrow_is_searched_back_from_the_arrival(client: TestClient, user: User):
    tomorrow = (datetime.now(NEW_YORK) + timedelta(days=1)).replace(hour=18, minute=0, second=0, microsecond=0)
    answer = ask(client, user, arrive_by=wall_clock(tomorrow)).json()
    leave_by = datetime.fromisoformat(answer["leave_by"])
    chosen = next(row for row in answer["departures"] if row["pickup_at"] == answer["leave_by"])
    assert timedelta(0) <= tomorrow - datetime.fromisoformat(chosen["arrival_by"]) < timedelta(minutes=15)
    assert tomorrow - leave_by < timedelta(hours=1)
    assert datetime.fromisoformat(answer["departures"][-1]["pickup_at"]) == tomorrow
    assert datetime.fromisoformat(answer["departures"][0]["pickup_at"]) == tomorrow - timedelta(hours=6)


def test_far_arrival_is_searched_back_also_from_a_given_first_departure(client: TestClient, user: User):
    answer = ask(client, user, pickup_at="2019-07-01T08:00:00", arrive_by="2019-07-02T18:00:00").json()
    assert answer["leave_by"] == "2019-07-02T17:30:00-04:00"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"arrive_by": "2019-07-01T08:00:00"}, "This is not after 20"),
        ({"pickup_at": "2019-07-01T08:00:00", "arrive_by": "2019-07-01T08:00:00"}, "not after 2019-07-01 08:00"),
        ({"pickup_at": "2019-07-01T08:00:00", "arrive_by": "2019-07-01T08:20:00"}, "No departure arrives in time"),
    ],
)
def test_past_or_unreachable_arrival_is_rejected_with_the_reason(
    client: TestClient, user: User, query: dict[str, str], message: str
):
    response = ask(client, user, **query)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == "arrive_by"
    assert message in error["message"]


def test_departure_has_an_interval_around_its_estimate(client: TestClient, user: User):
    answer = ask(client, user, pickup_at="2019-07-01T08:00:00").json()
    assert answer["level"] == DEFAULT_LEVEL
    single = client.post("/predict", json={**JFK, "pickup_at": "2019-07-01T08:00:00"}, headers=user.headers).json()
    first = answer["departures"][0]
    assert first["low_minutes"] == single["interval"]["low_minutes"]
    assert first["high_minutes"] == single["interval"]["high_minutes"]
    assert answer["leave_by"] is None
    assert answer["arrive_by"] is None


class SwitchingPredictor:
    """A predictor whose durations are a function of the minute of the day."""

    def __init__(self, predictor: Predictor, minutes_at: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> None:
        self._predictor, self._minutes_at = predictor, minutes_at
        self.default_fleet = predictor.default_fleet

    def _minutes(self, trips: TripBatch) -> NDArray[np.float64]:
        return self._minutes_at(trips.pickup_at.astype(np.int64) // 60 % 1440)

    def predict(self, trips: TripBatch, *, level: float, adjuster: None) -> Any:
        found = self._predictor.predict(trips, level=level)
        minutes = self._minutes(trips)
        return type(found)(**{**vars(found), "minutes": minutes, "low": minutes * 0.8, "high": minutes * 1.3})

    def quantiles(self, trips: TripBatch, probabilities: NDArray[np.float64], *, adjuster: None) -> NDArray[np.float64]:
        return self._minutes(trips)[:, None] * (1 + probabilities[None, :] / 4)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    home: Path = tmp_path_factory.mktemp("departures")
    version = promote_model(home)
    registry = ModelRegistry(home / "models")
    champion = registry.champion()
    assert champion is not None
    return LoadedModel(registry.load(version), champion, loaded_at=0.0)


def compare(
    loaded: LoadedModel, minutes_at: Callable[[NDArray[np.int64]], NDArray[np.float64]], **query: Any
) -> DeparturesResponse:
    predictor: Any = SwitchingPredictor(loaded.predictor, minutes_at)
    model = LoadedModel(predictor, loaded.champion, loaded.loaded_at)
    trip = Trip(161, 132, query.pop("pickup_at", None))
    given: dict[str, Any] = {"arrive_by": None, "hours": 6, "every_minutes": 5, "probability": 0.9, **query}
    return compare_departures(model, DepartureQuery(trip, **given))


@given(seed=st.integers(0, 2**32 - 1), every=st.sampled_from([5, 7, 15, 60]))
def test_later_departures_never_arrive_earlier(loaded: LoadedModel, seed: int, every: int):
    table = np.random.default_rng(seed).uniform(1, 180, 1440)
    answer = compare(
        loaded, lambda minute: table[minute], pickup_at=datetime(2019, 11, 2, 22, 0, 13), every_minutes=every, hours=8
    )
    for before, after in zip(answer.departures, answer.departures[1:], strict=False):
        assert after.arrival_at.timestamp() >= before.arrival_at.timestamp()
        assert after.arrival_by.timestamp() >= before.arrival_by.timestamp()
    for row in answer.departures:
        assert row.low_minutes <= row.estimated_duration_minutes <= row.high_minutes
        assert row.estimated_duration_minutes <= row.on_time_duration_minutes
        elapsed = row.arrival_at.timestamp() - row.pickup_at.timestamp()
        assert elapsed == pytest.approx(row.estimated_duration_minutes * 60, abs=0.51)


def test_predictions_that_are_in_order_are_not_changed(loaded: LoadedModel):
    answer = compare(loaded, lambda minute: 30 + 0.01 * (minute % 60), pickup_at=datetime(2019, 7, 1, 8))
    expected = [round(30 + 0.01 * (5 * step % 60), 2) for step in range(73)]
    assert [row.estimated_duration_minutes for row in answer.departures] == expected


def test_search_compares_moments_when_the_clocks_go_back(loaded: LoadedModel):
    # 01:30 EST is an hour after 01:30 EDT, though both read the same.
    arrive_by = datetime.fromisoformat("2019-11-03T01:30:00-05:00")
    answer = compare(
        loaded, lambda minute: np.full(len(minute), 20.0), pickup_at=datetime(2019, 11, 2, 12), arrive_by=arrive_by
    )
    assert answer.leave_by is not None
    assert answer.leave_by.isoformat() == "2019-11-03T01:05:00-05:00"


def test_near_arrival_can_be_reached_from_the_first_minute(loaded: LoadedModel):
    first = datetime.now(NEW_YORK).replace(microsecond=0)
    arrive_by = first + timedelta(minutes=27, seconds=30)
    answer = compare(
        loaded, lambda minute: np.full(len(minute), 20.0), arrive_by=arrive_by, every_minutes=60, probability=0.75
    )
    assert answer.leave_by is not None
    assert first <= answer.leave_by < first + timedelta(minutes=1)
    with pytest.raises(InvalidFieldsError):
        compare(loaded, lambda minute: np.full(len(minute), 120.0), arrive_by=arrive_by)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=40))
def test_isotonic_regression_is_the_minimax_of_means(values: list[int]):
    fitted = isotonic(np.array(values, dtype=np.float64))
    count = len(values)
    for index in range(count):
        expected = min(
            max(float(np.mean(values[start : end + 1])) for start in range(index + 1)) for end in range(index, count)
        )
        assert fitted[index] == pytest.approx(expected)
