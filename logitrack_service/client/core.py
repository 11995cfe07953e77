"""What the synchronous and the asynchronous client have in common: everything but waiting.

An operation is a generator. It yields what has to be done (`Send`, `Sleep`, `Renew`), the client does it and sends the
result back, or throws the error into the generator. So requests, tokens and retries exist once.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from itertools import count, islice
from typing import Any, TypeVar

import httpx2
import msgspec

from logitrack_service.client.errors import ApiConnectionError, ApiError
from logitrack_service.client.models import (
    AccountInfo,
    BatchAnswer,
    BatchResult,
    DeparturePlan,
    MatrixResult,
    OutcomeSummary,
    QueryResult,
    Ride,
    RidePrediction,
    TokenAnswer,
    ZoneInfo,
)

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0
MAX_ATTEMPTS = 8  # with their pauses 15 to 30 seconds: a restart of the service takes less
MAX_WAIT_SECONDS = 60.0  # of one operation, all its pauses together
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 8.0
RETRIED_STATUSES = frozenset({429, 502, 503, 504})  # too many requests, or the service or its proxy is not ready
CHUNK_ROWS = 5_000  # of a batch; the service accepts 10,000


@dataclass(frozen=True)
class Send:
    """Send a request and return its response.

    Raises:
        httpx2.TransportError: There is no response.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Renew:
    """Get a new access token, unless another operation has replaced the stale one meanwhile."""

    stale: str | None


Effect = Send | Sleep | Renew
Flow = Generator[Effect, Any, T]


class ClientCore:
    """Requests, tokens and retries of one account.

    Attributes:
        access_token: The present one; None before the first request.
    """

    def __init__(
        self, username: str | None, password: str | None, *, refresh_token: str | None, max_attempts: int
    ) -> None:
        self._username, self._password = username, password
        self._refresh_token = refresh_token
        self._max_attempts = max_attempts
        self.access_token: str | None = None

    def register(self, *, exist_ok: bool) -> Flow[None]:
        """Create the account; one that exists is an error unless `exist_ok`."""
        body = {"username": self._username, "password": self._password}
        try:
            yield from self._call("POST", "/register", Any, body=body, anonymous=True)
        except ApiError as error:
            if error.status != 409 or not exist_ok:
                raise

    def me(self) -> Flow[AccountInfo]:
        """Return the account."""
        return self._call("GET", "/me", AccountInfo)

    def zones(self) -> Flow[list[ZoneInfo]]:
        """Return the zones."""
        return self._call("GET", "/zones", list[ZoneInfo], anonymous=True)

    def predict(self, ride: Ride, level: float | None) -> Flow[RidePrediction]:
        """Predict one ride."""
        return self._call("POST", "/predict", RidePrediction, body=_given(msgspec.to_builtins(ride), level=level))

    def predict_batch(self, rides: Iterable[Ride | Mapping[str, Any]], level: float | None) -> Flow[BatchResult]:
        """Predict rides in chunks."""
        result = BatchResult([], [])
        for chunk in _chunks(ride if isinstance(ride, Ride) else Ride.from_mapping(ride) for ride in rides):
            answer = yield from self._call("POST", "/predict/batch", BatchAnswer, body=_given(trips=chunk, level=level))
            result.rows.extend(answer.results)
            if answer.model_version not in result.model_versions:
                result.model_versions.append(answer.model_version)
        return result

    def matrix(
        self,
        pickup_zones: Sequence[int],
        dropoff_zones: Sequence[int],
        pickup_at: datetime | None,
        fleet: str | None,
        level: float | None,
    ) -> Flow[MatrixResult]:
        """Predict all pairs of zones."""
        body = _given(
            pickup_zones=list(pickup_zones),
            dropoff_zones=list(dropoff_zones),
            pickup_at=pickup_at,
            fleet=fleet,
            level=level,
        )
        return self._call("POST", "/predict/matrix", MatrixResult, body=body)

    def departures(self, pickup_zone: int, dropoff_zone: int, options: Mapping[str, Any]) -> Flow[DeparturePlan]:
        """Predict several times of departure."""
        given = _given(pickup_zone=pickup_zone, dropoff_zone=dropoff_zone, **options)
        params = {
            name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in given.items()
        }
        return self._call("GET", "/predict/departures", DeparturePlan, params=params)

    def report_outcomes(self, outcomes: Iterable[tuple[str, float]]) -> Flow[OutcomeSummary]:
        """Report real durations in chunks; repeating is harmless, so a broken request is sent again."""
        summary = OutcomeSummary(0, 0, [], [])
        reports = ({"prediction_id": name, "duration_minutes": float(minutes)} for name, minutes in outcomes)
        for chunk in _chunks(reports):
            part = yield from self._call("POST", "/outcomes", OutcomeSummary, body={"outcomes": chunk})
            summary = OutcomeSummary(
                summary.recorded + part.recorded,
                summary.already_known + part.already_known,
                summary.conflicting + part.conflicting,
                summary.unknown + part.unknown,
            )
        return summary

    def query(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None, limit: int) -> Flow[QueryResult]:
        """Run an analyst's query."""
        body = _given(sql=sql, parameters=parameters, limit=limit)
        return self._call("POST", "/analytics/query", QueryResult, body=body)

    def renew(self) -> Flow[None]:
        """Exchange the refresh token, or log in with the password if there is none or it is refused.

        Raises:
            ApiError: The service refuses both, or is not ready.
            httpx2.TransportError: The service cannot be reached.
        """
        token, self._refresh_token = self._refresh_token, None  # it works once, so it is never sent twice
        if token is not None:
            response = yield _request("POST", "/token/refresh", body={"refresh_token": token})
            if response.is_success:
                self._store(response)
                return
            if response.status_code in RETRIED_STATUSES:
                self._refresh_token = token  # refused before it was used
            if response.status_code in RETRIED_STATUSES or self._password is None:
                raise ApiError.from_response(response)
        if self._username is None or self._password is None:
            raise ApiError(401, "The client has neither a refresh token nor a password: log in again.")
        form = httpx2.QueryParams({"grant_type": "password", "username": self._username, "password": self._password})
        response = yield Send(
            "POST",
            "/token",
            content=str(form).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        if not response.is_success:
            raise ApiError.from_response(response)
        self._store(response)

    def _store(self, response: httpx2.Response) -> None:
        tokens = msgspec.json.decode(response.content, type=TokenAnswer)
        self.access_token, self._refresh_token = tokens.access_token, tokens.refresh_token

    def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        anonymous: bool = False,
    ) -> Flow[T]:
        """Send a request until it is answered, within the limits of attempts and waiting.

        Raises:
            ApiError: The service refuses the request, or is not ready after all attempts.
            ApiConnectionError: The service cannot be reached after all attempts.
        """
        request = _request(method, path, params=params, body=body)
        waited = 0.0
        for attempt in count(1):
            answer = yield from self._attempt(request, anonymous=anonymous)
            if isinstance(answer, httpx2.Response):
                return msgspec.json.decode(answer.content, type=kind)
            if isinstance(answer, ApiError) and answer.status not in RETRIED_STATUSES:
                raise answer
            pause = _pause_seconds(attempt, answer)
            if attempt >= self._max_attempts or waited + pause > MAX_WAIT_SECONDS:
                raise answer
            waited += pause
            yield Sleep(pause)
        raise AssertionError("unreachable")

    def _attempt(self, request: Send, *, anonymous: bool) -> Flow[httpx2.Response | ApiError | ApiConnectionError]:
        """Send a request once, with a new access token if there is none or the present one is refused.

        Returns:
            The response to an accepted request, or else why there is none; of a renewal as well.
        """
        try:
            if anonymous:
                response: httpx2.Response = yield request
            else:
                if self.access_token is None:
                    yield Renew(None)
                token = self.access_token
                response = yield _authorized(request, token)
                if response.status_code == HTTPStatus.UNAUTHORIZED:  # expired or revoked
                    yield Renew(token)
                    response = yield _authorized(request, self.access_token)
        except httpx2.TransportError as error:
            return ApiConnectionError(f"{request.method} {request.path}: {error or type(error).__name__}")
        except ApiError as error:
            return error
        return response if response.is_success else ApiError.from_response(response)


def _authorized(request: Send, token: str | None) -> Send:
    return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})


def _request(method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None) -> Send:
    if body is None:
        return Send(method, path, params or {})
    return Send(method, path, params or {}, msgspec.json.encode(body), {"content-type": "application/json"})


def _pause_seconds(attempt: int, problem: ApiError | ApiConnectionError) -> float:
    """Return the pause before the next attempt: exponential, half of it random, and never less than `Retry-After`."""
    longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt)
    pause = random.uniform(longest / 2, longest)  # noqa: S311  # no secret
    asked = problem.retry_after_seconds if isinstance(problem, ApiError) else None
    return pause + (asked or 0.0)


def _given(body: Mapping[str, Any] | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in {**(body or {}), **fields}.items() if value is not None}


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK_ROWS)):
        yield chunk
