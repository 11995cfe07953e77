"""The client's own rules: tokens, retries, pauses and chunks. The service is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest

from logitrack_service.client import ApiConnectionError, ApiError, LogitrackClient, Ride
from logitrack_service.client.core import CHUNK_ROWS, MAX_ATTEMPTS, MAX_PAUSE_SECONDS, MAX_WAIT_SECONDS

Handler = Callable[[httpx2.Request], httpx2.Response]

PREDICTION = {
    "prediction_id": "p", "estimated_duration_minutes": 20.0, "pickup_at": "2019-07-01T08:30:00-04:00",
    "interval": {"low_minutes": 15.0, "high_minutes": 30.0, "level": 0.8}, "arrival_at": "2019-07-01T08:50:00-04:00",
    "support": 40, "extrapolating": False, "fleet": "yellow", "model_version": "v", "trained_through": "2019-06",
    "distance_miles": None, "a_field_of_the_future": 1,
}  # fmt: skip


class FakeService:
    """Issues numbered tokens and answers paths; each answer may be a status, or an exception to raise once.

    Attributes:
        requests: (path, token) of every request.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str]] = []
        self.issued = 0
        self.valid = {"access-1"}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.requests.append((path, token))
        queue = self.answers.get(path.strip("/").replace("/", "_"), [])
        if queue:
            answer = queue.pop(0)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer if isinstance(answer, httpx2.Response) else problem(answer)
        if path in ("/token", "/token/refresh"):
            self.issued += 1
            self.valid = {f"access-{self.issued}"}
            return httpx2.Response(
                200, json={"access_token": f"access-{self.issued}", "refresh_token": f"refresh-{self.issued}"}
            )
        if token not in self.valid:
            return problem(401)
        return httpx2.Response(200, json=PREDICTION)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


def problem(status: int, **headers: str) -> httpx2.Response:
    document = {"title": "A title", "status": status, "detail": "A detail.", "request_id": "r-1"}
    return httpx2.Response(status, json=document, headers={"content-type": "application/problem+json", **headers})


def test_a_client_logs_in_once_and_returns_typed_values(make_client: Callable[..., Any]) -> None:
    service = FakeService()
    client = make_client(service, "ada", "secret words")
    for _ in range(2):
        prediction = client.predict(161, 132, datetime(2019, 7, 1, 8, 30))
    assert service.paths == ["/token", "/predict", "/predict"]
    assert prediction.interval.high_minutes == 30.0
    assert prediction.arrival_at == datetime.fromisoformat("2019-07-01T08:50:00-04:00")
    assert prediction.base_duration_minutes is None


def test_an_expired_token_is_renewed_by_the_refresh_token(make_client: Callable[..., Any]) -> None:
    service = FakeService()
    client = make_client(service, "ada", "secret words")
    client.predict(161, 132)
    service.valid = set()
    client.predict(161, 132)
    assert service.requests[-3:] == [("/predict", "access-1"), ("/token/refresh", ""), ("/predict", "access-2")]


def test_a_refused_refresh_token_is_replaced_by_a_login(make_client: Callable[..., Any]) -> None:
    service = FakeService(token_refresh=[401])
    client = make_client(service, "ada", "secret words")
    client.predict(161, 132)
    service.valid = set()
    client.predict(161, 132)
    assert service.paths[2:] == ["/predict", "/token/refresh", "/token", "/predict"]


def test_a_refresh_token_alone_is_enough(make_client: Callable[..., Any]) -> None:
    service = FakeService()
    make_client(service, refresh_token="given").predict(161, 132)
    assert service.paths == ["/token/refresh", "/predict"]


def test_a_refresh_token_is_never_sent_twice(make_client: Callable[..., Any], pauses: list[float]) -> None:
    """A second use would revoke the session: whether a broken exchange has used it is unknown."""
    service = FakeService(token_refresh=[httpx2.ReadError("broken")])
    client = make_client(service, refresh_token="given")
    with pytest.raises(ApiError, match="log in again"):
        client.predict(161, 132)
    assert service.paths == ["/token/refresh"]


def test_without_credentials_the_client_says_so(make_client: Callable[..., Any]) -> None:
    with pytest.raises(ApiError, match="neither a refresh token nor a password"):
        make_client(FakeService()).predict(161, 132)


def test_a_wrong_password_is_not_tried_again(make_client: Callable[..., Any], pauses: list[float]) -> None:
    service = FakeService(token=[401, 401, 401])
    with pytest.raises(ApiError) as raised:
        make_client(service, "ada", "wrong").predict(161, 132)
    assert (raised.value.status, raised.value.detail, raised.value.request_id) == (401, "A detail.", "r-1")
    assert service.paths == ["/token"]
    assert pauses == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_not_ready_is_repeated_after_the_time_it_asks_for(
    make_client: Callable[..., Any], pauses: list[float], status: int
) -> None:
    service = FakeService(predict=[problem(status, **{"retry-after": "7"}), problem(status), None])
    make_client(service, "ada", "secret words").predict(161, 132)
    assert service.paths == ["/token", "/predict", "/predict", "/predict"]
    first, second = pauses
    assert 7 <= first <= 7 + MAX_PAUSE_SECONDS
    assert 0 <= second <= MAX_PAUSE_SECONDS


def test_broken_connections_are_repeated_also_while_logging_in(
    make_client: Callable[..., Any], pauses: list[float]
) -> None:
    service = FakeService(token=[httpx2.ConnectError("refused"), 503], predict=[httpx2.ReadTimeout("slow")])
    make_client(service, "ada", "secret words").predict(161, 132)
    assert service.paths == ["/token", "/token", "/token", "/predict", "/predict"]
    assert len(pauses) == 3


def test_attempts_are_bounded(make_client: Callable[..., Any], pauses: list[float]) -> None:
    service = FakeService(token=[httpx2.ConnectError("refused")] * 100)
    with pytest.raises(ApiConnectionError, match="POST /predict: refused"):
        make_client(service, "ada", "secret words").predict(161, 132)
    assert len(service.paths) == MAX_ATTEMPTS
    assert len(pauses) == MAX_ATTEMPTS - 1


def test_waiting_is_bounded(make_client: Callable[..., Any], pauses: list[float]) -> None:
    service = FakeService(predict=[problem(429, **{"retry-after": "25"})] * 100)
    with pytest.raises(ApiError) as raised:
        make_client(service, "ada", "secret words").predict(161, 132)
    assert raised.value.retry_after_seconds == 25
    assert sum(pauses) <= MAX_WAIT_SECONDS
    assert 1 <= len(pauses) <= 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
def test_other_refusals_are_raised_at_once(make_client: Callable[..., Any], pauses: list[float], status: int) -> None:
    service = FakeService(predict=[status])
    with pytest.raises(ApiError) as raised:
        make_client(service, "ada", "secret words").predict(161, 132)
    assert raised.value.status == status
    assert pauses == []


def test_an_error_page_of_a_proxy_is_an_api_error(make_client: Callable[..., Any]) -> None:
    service = FakeService(predict=[httpx2.Response(500, html="<h1>nginx</h1>")])
    with pytest.raises(ApiError, match="500: Internal Server Error"):
        make_client(service, "ada", "secret words").predict(161, 132)


def test_batches_are_sent_in_chunks_in_their_order(make_client: Callable[..., Any]) -> None:
    sizes: list[int] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            return httpx2.Response(200, json={"access_token": "a", "refresh_token": "r"})
        trips = json.loads(request.content)["trips"]
        sizes.append(len(trips))
        results = [{"prediction_id": str(trip["dropoff_zone"])} for trip in trips]
        return httpx2.Response(200, json={"results": results, "model_version": "v", "trained_through": "2019-06"})

    client = make_client(answer, "ada", "secret words")
    result = client.predict_batch(Ride(1, number) for number in range(CHUNK_ROWS + 3))
    assert sizes == [CHUNK_ROWS, 3]
    assert [row.prediction_id for row in result.rows] == [str(number) for number in range(CHUNK_ROWS + 3)]
    assert result.model_versions == ["v"]
    assert client.predict_batch([]).rows == []


def test_rows_of_a_data_frame_are_rides() -> None:
    frame = pd.DataFrame(
        {
            "pickup_zone": np.array([161, 162], dtype=np.int16),
            "dropoff_zone": [132.0, 138.0],
            "pickup_at": [pd.Timestamp("2019-07-01 08:30"), pd.NaT],
            "distance_miles": [np.float32(1.5), np.nan],
            "something_else": ["x", "y"],
        }
    )
    assert [Ride.from_mapping(row) for row in frame.to_dict("records")] == [
        Ride(161, 132, datetime(2019, 7, 1, 8, 30), 1.5),
        Ride(162, 138),
    ]


def test_threads_share_one_renewal() -> None:
    service = FakeService()
    client = LogitrackClient("http://service", "ada", "secret words", transport=httpx2.MockTransport(service))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.predict(161, 132), range(8)))
    assert service.paths.count("/token") == 1
