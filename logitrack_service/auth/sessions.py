"""Sessions: a login and everything that descends from it, until it is revoked.

An access token names its session. Each worker keeps the few sessions that were revoked within the life of an access
token in memory, so that a request needs no look-up. PostgreSQL tells every worker at commit (LISTEN/NOTIFY); the
notice says only that there is something to read, so a forged one changes nothing. Whoever revokes answers after its
own notice has come back and a moment for the others to have read theirs.

While PostgreSQL is away nobody can revoke anything, and tokens stay good for the minutes they have left: a dispatcher
keeps getting answers. On coming back, every worker reads the list anew before anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL = "logitrack_revocations"
REREAD_SECONDS = 5.0  # however quiet the channel is: a dead connection is noticed by then
OTHERS_SECONDS = 0.05  # for the other workers to have read what they were told

log = structlog.get_logger("logitrack.auth")


def new_refresh_token() -> tuple[str, bytes]:
    """A refresh token and the digest under which it is kept."""
    token = secrets.token_urlsafe(32)
    return token, digest_of(token)


def digest_of(refresh_token: str) -> bytes:
    """SHA-256: a token of 256 random bits needs no slow hash."""
    return hashlib.sha256(refresh_token.encode()).digest()


async def open_session(connection: AsyncConnection, account_id: int, *, days: int) -> tuple[str, str]:
    """A new session of an account: its id and its first refresh token."""
    session_id = str(uuid.uuid4())
    # Old sessions go when new ones come: the table stays as large as its living sessions.
    await connection.execute(
        text(
            "delete from service.sessions where session_id in"
            " (select session_id from service.sessions where expires_at < now() - interval '1 day' limit 100)"
        )
    )
    await connection.execute(
        text(
            "insert into service.sessions (session_id, account_id, expires_at)"
            " values (:session, :account, now() + make_interval(days => :days))"
        ),
        {"session": session_id, "account": account_id, "days": days},
    )
    return session_id, await add_refresh_token(connection, session_id)


async def add_refresh_token(connection: AsyncConnection, session_id: str) -> str:
    """The next refresh token of a session."""
    token, digest = new_refresh_token()
    await connection.execute(
        text("insert into service.refresh_tokens (digest, session_id) values (:digest, :session)"),
        {"digest": digest, "session": session_id},
    )
    return token


async def revoke_session(connection: AsyncConnection, session_id: str, reason: str) -> list[str]:
    """Ends a session when the transaction commits; returns what was ended."""
    return await _revoke(connection, "session_id = cast(:which as uuid)", session_id, reason)


async def revoke_account(connection: AsyncConnection, account_id: int, reason: str) -> list[str]:
    """Ends every session of an account when the transaction commits; returns what was ended."""
    return await _revoke(connection, "account_id = :which and expires_at > now()", account_id, reason)


async def _revoke(connection: AsyncConnection, condition: str, which: str | int, reason: str) -> list[str]:
    rows = await connection.execute(
        text(
            "update service.sessions set revoked_at = clock_timestamp(), reason = :reason"
            f" where revoked_at is null and {condition} returning session_id::text"
        ),
        {"which": which, "reason": reason},
    )
    await connection.execute(text(f"notify {CHANNEL}"))
    return list(rows.scalars())


class Revocations:
    """The revoked sessions that a token may still name, kept up to date in one worker."""

    def __init__(self, dsn: str, *, token_seconds: int) -> None:
        self._dsn = dsn
        self._token_seconds = token_seconds
        self._revoked: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self.read_at = 0.0  # monotonic seconds of the last time the list was read

    def includes(self, session_id: str) -> bool:
        """Whether a session has been revoked."""
        return session_id in self._revoked

    async def start(self) -> None:
        """Begins to listen."""
        self._task = asyncio.create_task(self._listen_forever(), name="revocations")

    async def stop(self) -> None:
        """Stops listening."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_propagated(self, session_ids: list[str]) -> None:
        """Waits until sessions whose end was just committed are refused here and, as good as surely, everywhere."""
        try:
            async with asyncio.timeout(2), self._changed:
                await self._changed.wait_for(lambda: self._revoked.issuperset(session_ids))
        except TimeoutError:
            log.warning("revocation_not_heard_back")
            self._revoked |= frozenset(session_ids)
        await asyncio.sleep(OTHERS_SECONDS)

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("revocations_not_heard", error=type(error).__name__)
            await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, connect_timeout=3, application_name="logitrack-revocations"
        ) as connection:
            await connection.execute(f"listen {CHANNEL}")
            while True:
                await self._reread(connection)
                async for _ in connection.notifies(timeout=REREAD_SECONDS, stop_after=1):
                    pass

    async def _reread(self, connection: psycopg.AsyncConnection) -> None:
        rows = await connection.execute(
            "select session_id::text from service.sessions"
            " where revoked_at > now() - make_interval(secs => %s) - interval '1 minute'",
            [self._token_seconds],
        )
        self._revoked = frozenset(row[0] for row in await rows.fetchall())
        self.read_at = time.monotonic()
        async with self._changed:
            self._changed.notify_all()
