"""Counts of attempts in PostgreSQL, at the limits of every wait; the clock is moved by moving what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_service.auth.throttle import (
    MAX_DELETED_COUNTS,
    PASSWORD_CHANGE,
    REGISTRATION,
    RESET_AFTER,
    TAKEN_NAME_COST,
    Limit,
    count_attempt,
    delete_stale_counts,
    refund,
    reset,
)
from logitrack_service.database import connect
from logitrack_service.errors import RateLimitedError
from logitrack_tests.service.conftest import ServiceHome

LIMIT = Limit("login_pair", burst=3)


class Throttle:
    """The throttle of a database, each call in a transaction of its own."""

    def __init__(self, url: str) -> None:
        self._url, self._engine = url, create_engine(url)

    def call(self, function: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any) -> None:
        async def run() -> None:
            engine = connect(self._url)
            try:
                async with engine.begin() as connection:
                    await function(connection, *args, **kwargs)
            finally:
                await engine.dispose()

        asyncio.run(run())

    def count(self, subject: str = "one", limit: Limit = LIMIT, **cost: int) -> None:
        self.call(count_attempt, limit, subject, **cost)

    def run(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self._engine.begin() as connection:
            result = connection.execute(text(sql), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def stored(self, subject: str = "one") -> tuple[int, float]:
        """Return the attempts of a subject, and the wait in seconds that the last one started."""
        ((attempts, wait),) = self.run(
            "select attempts, extract(epoch from blocked_until - last_at)::float8 from service.throttle "
            "where subject = :subject",
            subject=subject,
        )
        return attempts, wait

    def end_waits(self, ago: timedelta = timedelta(0)) -> None:
        """End every wait, as if the attempts had been made some time ago."""
        self.run("update service.throttle set blocked_until = now() - :ago, last_at = last_at - :ago", ago=ago)

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def throttle(service_home: ServiceHome) -> Iterator[Throttle]:
    found = Throttle(service_home.url)
    found.run("delete from service.throttle")
    yield found
    found.close()


def test_limits():
    assert timedelta(hours=1) == RESET_AFTER
    assert (PASSWORD_CHANGE.burst, REGISTRATION.burst, TAKEN_NAME_COST, MAX_DELETED_COUNTS) == (5, 100, 10, 20)
    assert LIMIT.max_wait_seconds == 300


def test_last_attempt_of_the_burst_starts_the_first_wait_and_waits_double_to_the_maximum(throttle: Throttle):
    found = []
    for _ in range(13):
        throttle.count()
        found.append(throttle.stored())
        throttle.end_waits()
    assert found == list(zip(range(1, 14), [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300], strict=True))


def test_great_counts_wait_the_maximum(throttle: Throttle):
    throttle.count(cost=1)
    throttle.run("update service.throttle set attempts = 1000000")
    throttle.count()
    assert throttle.stored() == (1_000_001, 300)


def test_wait_beyond_a_million_seconds_is_bounded_by_the_doublings(throttle: Throttle):
    limit = Limit("login_pair", burst=3, max_wait_seconds=10**8)
    throttle.count(limit=limit)
    throttle.run("update service.throttle set attempts = 1000")
    throttle.count(limit=limit)
    assert throttle.stored() == (1_001, 2**20)


def test_attempt_that_costs_more_counts_as_many(throttle: Throttle):
    throttle.count(cost=2)
    assert throttle.stored() == (2, 0)
    throttle.count(cost=2)
    assert throttle.stored() == (4, 2)


def test_first_attempt_starts_no_wait_whatever_it_costs(throttle: Throttle):
    throttle.count(cost=10)
    assert throttle.stored() == (10, 0)


def test_refused_attempt_names_the_wait_and_does_not_prolong_it(throttle: Throttle):
    for _ in range(3):
        throttle.count()
    throttle.run("update service.throttle set blocked_until = now() + interval '41.5 seconds'")
    before = throttle.stored()
    with pytest.raises(RateLimitedError, match=r"^Too many attempts: try again in 4[12] seconds\.$") as error:
        throttle.count()
    assert error.value.retry_after_seconds in (41, 42)  # a second may pass on a busy machine
    assert throttle.stored() == before


class _FrozenFunctions:
    """SQL functions whose clock stands still within a transaction."""

    def __getattr__(self, name: str) -> Any:
        return getattr(func, "now" if name == "clock_timestamp" else name)


@pytest.mark.parametrize(("seconds", "told"), [(0.25, 1), (1.0, 1), (2.25, 3), (300.0, 300)])
def test_wait_is_told_in_whole_seconds_rounded_up(
    throttle: Throttle, monkeypatch: pytest.MonkeyPatch, seconds: float, told: int
):
    async def wait(connection: AsyncConnection) -> None:
        statement = "update service.throttle set blocked_until = now() + make_interval(secs => :seconds)"
        await connection.execute(text(statement), {"seconds": seconds})
        await count_attempt(connection, LIMIT, "one")

    throttle.count()
    monkeypatch.setattr("logitrack_service.auth.throttle.func", _FrozenFunctions())
    with pytest.raises(RateLimitedError, match=f"^Too many attempts: try again in {told} seconds.$") as error:
        throttle.call(wait)
    assert error.value.retry_after_seconds == told


def test_attempt_at_the_end_of_a_wait_is_counted(throttle: Throttle, monkeypatch: pytest.MonkeyPatch):
    async def count(connection: AsyncConnection) -> None:
        await connection.execute(text("update service.throttle set blocked_until = now()"))
        await count_attempt(connection, LIMIT, "one")

    throttle.count()
    monkeypatch.setattr("logitrack_service.auth.throttle.func", _FrozenFunctions())
    throttle.call(count)
    assert throttle.stored()[0] == 2


def test_count_lasts_for_the_whole_hour(throttle: Throttle):
    async def delete_and_count(connection: AsyncConnection) -> None:
        await connection.execute(text("update service.throttle set last_at = now() - interval '1 hour'"))
        await delete_stale_counts(connection)
        await count_attempt(connection, LIMIT, "one")

    throttle.count()
    throttle.call(delete_and_count)
    assert throttle.stored()[0] == 2


def test_subjects_and_kinds_are_counted_apart(throttle: Throttle):
    other_kind = Limit("login_account", burst=3)
    for _ in range(3):
        throttle.count("one")
    throttle.count("two")
    throttle.count("one", other_kind)
    counts = throttle.run("select kind, subject, attempts from service.throttle order by 1, 2")
    assert counts == [("login_account", "one", 1), ("login_pair", "one", 3), ("login_pair", "two", 1)]
    throttle.call(reset, LIMIT, "one")
    assert throttle.run("select kind, subject from service.throttle order by 1, 2") == [
        ("login_account", "one"), ("login_pair", "two"),
    ]  # fmt: skip


def test_refund_takes_back_one_attempt_and_its_wait_of_one_subject(throttle: Throttle):
    for subject in ("one", "two"):
        for _ in range(4):
            throttle.count(subject)
            throttle.end_waits()
    throttle.run("update service.throttle set blocked_until = now() + interval '10 minutes'")
    throttle.call(refund, LIMIT, "one")
    assert throttle.stored()[0] == 3
    assert throttle.stored("two")[0] == 4
    throttle.count()
    with pytest.raises(RateLimitedError):
        throttle.count("two")


def test_refund_leaves_no_negative_count(throttle: Throttle):
    throttle.count()
    for _ in range(2):
        throttle.call(refund, LIMIT, "one")
    assert throttle.stored()[0] == 0


def test_count_expires_an_hour_after_the_last_attempt(throttle: Throttle):
    for _ in range(5):
        throttle.count()
        throttle.end_waits()
    throttle.end_waits(timedelta(minutes=59))
    throttle.count()
    assert throttle.stored() == (6, 8)
    throttle.end_waits(timedelta(minutes=61))
    throttle.count(cost=2)
    assert throttle.stored() == (2, 0)


def test_expired_counts_are_deleted_some_at_a_time(throttle: Throttle):
    throttle.count("recent")
    throttle.run(
        "insert into service.throttle (kind, subject, attempts, last_at, blocked_until) "
        "select 'login_pair', 'old ' || n, 1, now() - interval '61 minutes', now() from generate_series(1, 25) n"
    )
    left = []
    for _ in range(3):
        throttle.call(delete_stale_counts)
        left.append(throttle.run("select count(*) from service.throttle")[0][0])
    assert left == [6, 1, 1]


def test_deletion_skips_counts_that_a_login_holds(throttle: Throttle):
    throttle.run(
        "insert into service.throttle (kind, subject, attempts, last_at, blocked_until) "
        "select 'login_pair', 'old ' || n, 1, now() - interval '61 minutes', now() from generate_series(1, 2) n"
    )
    with throttle._engine.begin() as connection:
        connection.execute(text("select 1 from service.throttle where subject = 'old 1' for update"))
        throttle.call(delete_stale_counts)
        assert throttle.run("select subject from service.throttle") == [("old 1",)]
