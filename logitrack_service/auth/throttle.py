"""Counts of attempts and the waits that follow from them, stored in PostgreSQL: they hold across workers and restarts.

An attempt is counted before the password is verified, in one statement, so a hundred concurrent guesses count as a
hundred attempts. A burst of attempts is free; each one after it costs a wait that doubles up to a maximum. No account
is locked permanently: after an hour without attempts the count starts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, case, cast, delete, extract, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from logitrack_assets.database.tables import throttle
from logitrack_service.errors import RateLimitedError

RESET_AFTER = timedelta(hours=1)  # without an attempt
MAX_DELETED_COUNTS = 20  # per login attempt, which adds three
_MAX_DOUBLINGS = 20  # keeps the power of two within a double


@dataclass(frozen=True)
class Limit:
    """A throttled kind of attempt.

    Attributes:
        kind: Stored in `service.throttle.kind`.
        burst: Attempts without a wait; the last of them starts the first wait.
        max_wait_seconds: Longest wait after an attempt.
    """

    kind: str
    burst: int
    max_wait_seconds: int = 300


PASSWORD_CHANGE = Limit("password_change", burst=5)
REGISTRATION = Limit("registration", burst=100)
TAKEN_NAME_COST = 10  # registrations that one for a taken name counts as: it reveals that the account exists


async def count_attempt(connection: AsyncConnection, limit: Limit, subject: str, *, cost: int = 1) -> None:
    """Count an attempt of a subject, for example of a network, as `cost` attempts.

    Raises:
        RateLimitedError: The subject has to wait; the refused attempt does not prolong the wait.
    """
    if await connection.scalar(_count_statement(limit, subject, cost)) is not None:
        return
    remaining = cast(func.ceil(extract("epoch", throttle.c.blocked_until - func.clock_timestamp())), Integer)
    seconds = max(1, await connection.scalar(select(remaining).where(_matches(limit, subject))) or 1)
    raise RateLimitedError(f"Too many attempts: try again in {seconds} seconds.", retry_after_seconds=seconds)


async def reset(connection: AsyncConnection, limit: Limit, subject: str) -> None:
    """Delete the attempts of a subject that has authenticated."""
    await connection.execute(delete(throttle).where(_matches(limit, subject)))


async def refund(connection: AsyncConnection, limit: Limit, subject: str) -> None:
    """Subtract one attempt: a correct password from a network does not erase its wrong ones."""
    await connection.execute(
        update(throttle)
        .where(_matches(limit, subject))
        .values(attempts=func.greatest(throttle.c.attempts - 1, 0), blocked_until=func.now())
    )


async def delete_stale_counts(connection: AsyncConnection) -> None:
    """Delete some counts that have expired, so that the table does not grow with made-up names."""
    stale = (
        select(throttle.c.kind, throttle.c.subject)
        .where(throttle.c.last_at < func.now() - RESET_AFTER)
        .limit(MAX_DELETED_COUNTS)
        .with_for_update(skip_locked=True)
        # As a subquery it could be executed once for each row of the table, and then skips what it found before.
        .cte("stale")
    )
    key = tuple_(throttle.c.kind, throttle.c.subject)
    await connection.execute(delete(throttle).where(key.in_(select(stale.c.kind, stale.c.subject))))


def _count_statement(limit: Limit, subject: str, cost: int) -> ReturningInsert[Any]:
    """Return the upsert that counts an attempt; it returns no row while the subject is blocked."""
    expired = throttle.c.last_at < func.now() - RESET_AFTER
    attempts = throttle.c.attempts + cost
    doublings = func.least(attempts - limit.burst, _MAX_DOUBLINGS)
    wait_seconds = func.least(func.power(2, doublings), limit.max_wait_seconds)
    return (
        insert(throttle)
        .values(kind=limit.kind, subject=subject, attempts=cost, last_at=func.now(), blocked_until=func.now())
        .on_conflict_do_update(
            index_elements=[throttle.c.kind, throttle.c.subject],
            set_={
                "attempts": case((expired, cost), else_=attempts),
                "last_at": func.now(),
                "blocked_until": case(
                    (or_(expired, attempts < limit.burst), func.now()),
                    else_=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, wait_seconds),
                ),
            },
            # Not now(), the start of this transaction: another one can have begun later and written its start first.
            where=throttle.c.blocked_until <= func.clock_timestamp(),
        )
        .returning(throttle.c.attempts)
    )


def _matches(limit: Limit, subject: str) -> ColumnElement[bool]:
    return and_(throttle.c.kind == limit.kind, throttle.c.subject == subject)
