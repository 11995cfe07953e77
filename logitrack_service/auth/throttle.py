"""Slowing down whoever guesses, kept in PostgreSQL so that it holds across workers and restarts.

An attempt is counted before the password is looked at, in one statement: a hundred guesses sent at once are a hundred
attempts. The first few are free, then each costs a wait that doubles up to a few minutes: nobody is locked out for
good, and an hour of quiet forgives everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_service.http.problems import problem


@dataclass(frozen=True)
class Limit:
    """How many attempts are free, and how long one may have to wait after them."""

    kind: str
    burst: int
    max_wait_seconds: int = 300


LOGIN_ACCOUNT = Limit("login_account", burst=5)
LOGIN_ADDRESS = Limit("login_address", burst=30)  # an office shares an address
REGISTER_ADDRESS = Limit("register_address", burst=100)

_COUNT = text(
    """
    insert into service.throttle as t (kind, subject, attempts, last_at, blocked_until)
    values (:kind, :subject, 1, now(), now())
    on conflict (kind, subject) do update set
        attempts = case when t.last_at < now() - interval '1 hour' then 1 else t.attempts + 1 end,
        last_at = now(),
        blocked_until = case
            when t.last_at < now() - interval '1 hour' or t.attempts + 1 < :free then now()
            else now() + make_interval(secs => least(power(2, least(t.attempts + 1 - :free, 20)), :longest))
        end
    where t.blocked_until <= now()
    returning attempts
    """
)
_WAIT = text(
    "select ceil(extract(epoch from blocked_until - now()))::int from service.throttle"
    " where kind = :kind and subject = :subject"
)


async def count_attempt(connection: AsyncConnection, limit: Limit, subject: str) -> None:
    """Counts one attempt.

    Raises:
        HTTPException: 429, when the subject has to wait; the attempt does not prolong the wait.
    """
    key = {"kind": limit.kind, "subject": subject}
    counted = await connection.scalar(_COUNT, {**key, "free": limit.burst, "longest": limit.max_wait_seconds})
    if counted is None:
        wait = max(1, await connection.scalar(_WAIT, key) or 1)
        raise problem(429, f"Too many attempts: try again in {wait} seconds.", headers={"Retry-After": str(wait)})


async def reset(connection: AsyncConnection, limit: Limit, subject: str) -> None:
    """Forgets a subject's attempts: it has shown who it is."""
    await connection.execute(
        text("delete from service.throttle where kind = :kind and subject = :subject"),
        {"kind": limit.kind, "subject": subject},
    )


async def refund(connection: AsyncConnection, limit: Limit, subject: str) -> None:
    """Takes one attempt back: a right password from an address does not wipe out its wrong ones."""
    await connection.execute(
        text(
            "update service.throttle set attempts = greatest(attempts - 1, 0), blocked_until = now()"
            " where kind = :kind and subject = :subject"
        ),
        {"kind": limit.kind, "subject": subject},
    )


def network_of(address: str) -> str:
    """The address to count by: an IPv6 customer owns a /64 and would otherwise have 2^64 tries."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64] or "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return address
