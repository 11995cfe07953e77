"""End queries of analysts' own logins that run longer than the limit.

PostgreSQL has no limit of time that a session cannot change: `set statement_timeout = 0` lifts that of its role.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from sqlalchemy import column, extract, func, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.roles import ANALYST_LOGIN_PREFIX, MAX_QUERY_SECONDS

PERIOD_SECONDS = 15.0
GRACE_SECONDS = 5.0  # for the statement's own timeout to act first

_sessions = table(
    "pg_stat_activity",
    column("pid"), column("usename"), column("state"), column("query_start"),
    schema="pg_catalog",
)  # fmt: skip

log = structlog.get_logger("logitrack.analytics")


class AnalystWatchdog:
    """Looks at the sessions of analysts' own logins every quarter of a minute."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start looking in the background."""
        self._task = asyncio.create_task(self._look_forever(), name="analyst-watchdog")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def end_overdue(self, *, seconds: float = MAX_QUERY_SECONDS + GRACE_SECONDS) -> int:
        """End the sessions whose query runs longer than `seconds`; return how many there were."""
        running = extract("epoch", func.clock_timestamp() - _sessions.c.query_start)
        overdue = select(func.pg_terminate_backend(_sessions.c.pid)).where(
            func.starts_with(_sessions.c.usename, ANALYST_LOGIN_PREFIX),
            _sessions.c.state == "active",
            running > seconds,
        )
        async with self._engine.connect() as connection:
            ended = len((await connection.execute(overdue)).all())
        if ended:
            log.warning("analyst_sessions_ended", sessions=ended, seconds=seconds)
        return ended

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.end_overdue()
            except SQLAlchemyError as error:
                log.warning("analyst_sessions_not_seen", error=type(error).__name__)
