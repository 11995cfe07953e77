"""The database made ready: migrated, and with the analysts' role. Safe with any number of workers at once."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from logitrack_assets.database import migrate
from logitrack_service.analytics.analyst_role import AnalystLogin, prepare_analyst

RETRY_SECONDS = 3.0

log = structlog.get_logger("logitrack.service")


def prepare_database(url: str, analyst: AnalystLogin) -> None:
    """Brings schema and role to what this code expects."""
    migrate(url)
    engine = create_engine(url, hide_parameters=True)
    try:
        prepare_analyst(engine, analyst)
    finally:
        engine.dispose()


class DatabaseInitializer:
    """Whether the database is what this worker expects.

    A worker that starts while PostgreSQL is away starts all the same: it can predict, and it prepares the database as
    soon as that is there.
    """

    def __init__(self, url: str, analyst: AnalystLogin) -> None:
        self._url, self._analyst = url, analyst
        self._task: asyncio.Task[None] | None = None
        self.ready = False

    async def start(self) -> None:
        """Prepares now if possible, else in the background."""
        if not await self._prepare():
            self._task = asyncio.create_task(self._until_ready(), name="schema")

    async def stop(self) -> None:
        """Gives up trying."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _prepare(self) -> bool:
        try:
            await asyncio.to_thread(prepare_database, self._url, self._analyst)
        except OperationalError as error:
            log.warning("database_not_prepared", error=str(error.orig).strip().splitlines()[0])
            return False
        self.ready = True
        return True

    async def _until_ready(self) -> None:
        while not await self._prepare():
            await asyncio.sleep(RETRY_SECONDS)
