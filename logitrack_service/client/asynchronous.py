"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx2

from logitrack_service.client.core import MAX_ATTEMPTS, TIMEOUT_SECONDS, ClientCore, Effect, Flow, Renew, Send, Sleep
from logitrack_service.client.errors import ApiError
from logitrack_service.client.models import (
    AccountInfo,
    BatchResult,
    DeparturePlan,
    MatrixResult,
    OutcomeSummary,
    QueryResult,
    Ride,
    RidePrediction,
    ZoneInfo,
)

T = TypeVar("T")


class AsyncLogitrackClient:
    """A client of the service. It logs in when it has to, renews its session, and may be used by several tasks.

    Requests that the service cannot take at the moment (429, 502, 503, 504, broken connections) are repeated with
    growing pauses, at most a minute in all and never earlier than `Retry-After` says.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        refresh_token: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        max_attempts: int = MAX_ATTEMPTS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client; nothing is sent yet.

        Args:
            url: Address of the service, for example `http://127.0.0.1:8000`.
            username: Name of the account.
            password: Its password.
            refresh_token: A refresh token, instead of or besides the password. It works once: the client keeps the
                next ones to itself.
            timeout: Seconds for each step of a request: connecting, sending, receiving.
            max_attempts: Attempts of each request.
            transport: Replaces the network, for tests.
        """
        self._core = ClientCore(username, password, refresh_token=refresh_token, max_attempts=max_attempts)
        self._http = httpx2.AsyncClient(base_url=url, timeout=timeout, transport=transport)
        self._renewal = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The session stays valid until it expires."""
        await self._http.aclose()

    async def register(self, *, exist_ok: bool = False) -> None:
        """Create the account, with the role user.

        Args:
            exist_ok: Accept that the name is taken, which is so from the second call on.

        Raises:
            ApiError: The name is taken (409), or name or password are not acceptable (422).
        """
        await self._run(self._core.register(exist_ok=exist_ok))

    async def me(self) -> AccountInfo:
        """Return the client's account."""
        return await self._run(self._core.me())

    async def zones(self) -> list[ZoneInfo]:
        """Return the taxi zones with names and boroughs."""
        return await self._run(self._core.zones())

    async def predict(
        self,
        pickup_zone: int,
        dropoff_zone: int,
        pickup_at: datetime | None = None,
        *,
        distance_miles: float | None = None,
        fleet: str | None = None,
        level: float | None = None,
    ) -> RidePrediction:
        """Predict the duration of a ride.

        Args:
            pickup_zone: Zone of the pickup.
            dropoff_zone: Zone of the drop-off.
            pickup_at: New York wall-clock time, or a time with an offset; now if omitted.
            distance_miles: Planned distance, if known.
            fleet: `yellow` or `green`.
            level: Probability of the interval, 0.5 to 0.99; 0.8 if omitted.

        Raises:
            ApiError: A value is not valid (422), a quota is exhausted (429), or the service is not ready (503).
            ApiConnectionError: The service cannot be reached.
        """
        ride = Ride(pickup_zone, dropoff_zone, pickup_at, distance_miles, fleet)
        return await self._run(self._core.predict(ride, level))

    async def predict_batch(
        self, rides: Iterable[Ride | Mapping[str, Any]], *, level: float | None = None
    ) -> BatchResult:
        """Predict any number of rides, in requests of 5,000; an invalid ride gets an error of its own.

        Args:
            rides: Rides, or rows with the names of their fields, such as `DataFrame.to_dict("records")`.
            level: Probability of the intervals.

        Raises:
            ApiError: The service refuses a request; what was predicted before it is lost to the caller.
            ApiConnectionError: The service cannot be reached.
        """
        return await self._run(self._core.predict_batch(rides, level))

    async def matrix(
        self,
        pickup_zones: Sequence[int],
        dropoff_zones: Sequence[int],
        pickup_at: datetime | None = None,
        *,
        fleet: str | None = None,
        level: float | None = None,
    ) -> MatrixResult:
        """Predict all pairs of up to 100 pickup and 100 drop-off zones.

        Raises:
            ApiError: The service refuses the request.
            ApiConnectionError: The service cannot be reached.
        """
        return await self._run(self._core.matrix(pickup_zones, dropoff_zones, pickup_at, fleet, level))

    async def departures(
        self,
        pickup_zone: int,
        dropoff_zone: int,
        pickup_at: datetime | None = None,
        *,
        arrive_by: datetime | None = None,
        probability: float | None = None,
        hours: int | None = None,
        every_minutes: int | None = None,
        distance_miles: float | None = None,
        fleet: str | None = None,
    ) -> DeparturePlan:
        """Predict the next hours' times of departure; with `arrive_by`, say when to leave at the latest.

        Args:
            pickup_zone: Zone of the pickup.
            dropoff_zone: Zone of the drop-off.
            pickup_at: Earliest departure; now if omitted.
            arrive_by: When to arrive at the latest.
            probability: Of arriving in time, 0.75 to 0.975; 0.9 if omitted.
            hours: Hours to look at, 1 to 24.
            every_minutes: Distance of the times, 5 to 60 minutes.
            distance_miles: Planned distance, if known.
            fleet: `yellow` or `green`.

        Raises:
            ApiError: The service refuses the request, for example because no departure arrives in time (422).
            ApiConnectionError: The service cannot be reached.
        """
        options = {
            "pickup_at": pickup_at,
            "arrive_by": arrive_by,
            "probability": probability,
            "hours": hours,
            "every_minutes": every_minutes,
            "distance_miles": distance_miles,
            "fleet": fleet,
        }
        return await self._run(self._core.departures(pickup_zone, dropoff_zone, options))

    async def report_outcome(self, prediction_id: str, duration_minutes: float) -> OutcomeSummary:
        """Report the real duration of a predicted ride; repeating is harmless.

        Raises:
            ApiError: The service refuses the report.
            ApiConnectionError: The service cannot be reached.
        """
        return await self.report_outcomes([(prediction_id, duration_minutes)])

    async def report_outcomes(self, outcomes: Iterable[tuple[str, float]]) -> OutcomeSummary:
        """Report any number of real durations, as pairs of prediction id and minutes; repeating is harmless.

        Raises:
            ApiError: The service refuses a report.
            ApiConnectionError: The service cannot be reached.
        """
        return await self._run(self._core.report_outcomes(outcomes))

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None, *, limit: int = 1_000
    ) -> QueryResult:
        """Run a SELECT over the views of analysts; needs the role analyst.

        Args:
            sql: The text, with `:name` or `$1` for values.
            parameters: Values by name or in order.
            limit: Rows to return at most.

        Raises:
            ApiError: PostgreSQL refuses the query (400), or it takes too long (408).
            ApiConnectionError: The service cannot be reached.
        """
        return await self._run(self._core.query(sql, parameters, limit))

    async def _run(self, flow: Flow[T]) -> T:
        """Do what a flow asks for until it ends, and return its result."""
        result: Any = None
        error: Exception | None = None
        while True:
            try:
                effect = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            result, error = None, None
            try:
                result = await self._do(effect)
            except (httpx2.TransportError, ApiError) as raised:
                error = raised

    async def _do(self, effect: Effect) -> httpx2.Response | None:
        if isinstance(effect, Send):
            return await self._http.request(
                effect.method, effect.path, params=effect.params, content=effect.content, headers=effect.headers
            )
        if isinstance(effect, Sleep):
            await anyio.sleep(effect.seconds)
        elif isinstance(effect, Renew):
            async with self._renewal:  # one renewal at a time: a refresh token works once
                if self._core.access_token == effect.stale:
                    await self._run(self._core.renew())
        return None
