"""Revoked sessions, cached in each worker and propagated by PostgreSQL's LISTEN/NOTIFY.

An access token carries its session's id. Each worker caches the few sessions that were revoked within the lifetime of
an access token, so a request needs no database query. A revocation notifies every worker at commit; the notice has no
content and only triggers a query, so a forged one changes nothing. The revoking request responds after its own notice
has come back, plus a short delay for the other workers.

While PostgreSQL is unavailable no session can be revoked, and access tokens stay valid for their remaining minutes, so
predictions continue. On reconnecting, a worker reads the list before it waits for notices.
"""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog

CHANNEL = "logitrack_revocations"
MAX_REFRESH_SECONDS = 5.0  # a dead connection is detected within this time, even without notices
RECONNECT_SECONDS = 0.5
NOTICE_SECONDS = 2.0  # limit for a worker's own notice to come back
PROPAGATION_SECONDS = 0.05  # for the other workers to query the list after the notice

log = structlog.get_logger("logitrack.auth")


class Revocations:
    """The revoked sessions that an unexpired access token may name, kept current in one worker.

    Attributes:
        read_at: `time.monotonic()` seconds of the last successful query; 0 before the first.
    """

    def __init__(self, dsn: str, *, token_seconds: int) -> None:
        """Create the cache; `token_seconds` is the lifetime of an access token."""
        self._dsn = dsn
        self._token_seconds = token_seconds
        self._revoked: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self.read_at = 0.0

    def includes(self, session_id: str) -> bool:
        """Return whether a session has been revoked."""
        return session_id in self._revoked

    async def start(self) -> None:
        """Start listening in the background."""
        self._task = asyncio.create_task(self._listen_forever(), name="revocations")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_propagated(self, session_ids: list[str]) -> None:
        """Wait until committed revocations are in this worker's cache and, with high probability, in all others'."""
        if not session_ids:
            return
        try:
            async with asyncio.timeout(NOTICE_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._revoked.issuperset(session_ids))
        except TimeoutError:
            log.warning("revocation_notice_missing")
            self._revoked |= frozenset(session_ids)
        await asyncio.sleep(PROPAGATION_SECONDS)

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("revocations_unavailable", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        # psycopg's own connection: SQLAlchemy has no interface for notifications.
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, connect_timeout=3, application_name="logitrack-revocations"
        ) as connection:
            await connection.execute(f"listen {CHANNEL}")
            while True:
                await self._refresh(connection)
                async for _ in connection.notifies(timeout=MAX_REFRESH_SECONDS, stop_after=1):
                    pass

    async def _refresh(self, connection: psycopg.AsyncConnection) -> None:
        rows = await connection.execute(
            "select session_id::text from service.sessions"
            " where revoked_at > now() - make_interval(secs => %s) - interval '1 minute'",
            [self._token_seconds],
        )
        self._revoked = frozenset(row[0] for row in await rows.fetchall())
        self.read_at = time.monotonic()
        async with self._changed:
            self._changed.notify_all()
