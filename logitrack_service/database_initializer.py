"""Preparation of the database: migrations and the analysts' role. Safe with any number of concurrent workers."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from logitrack_assets.database import DatabaseError, migrate
from logitrack_service.analytics.analyst_role import AnalystLogin, prepare_analyst
from logitrack_service.observability.health import HealthCheck
from logitrack_service.settings import ServiceSettings

RETRY_SECONDS = 3.0

log = structlog.get_logger("logitrack.service")


def prepare_database(url: str, analyst: AnalystLogin, settings: ServiceSettings) -> None:
    """Migrate the database and create the analysts' role.

    Raises:
        OperationalError: PostgreSQL is unreachable.
    """
    migrate(url)
    engine = create_engine(url, hide_parameters=True)
    try:
        prepare_analyst(engine, analyst, settings)
    finally:
        engine.dispose()


class DatabaseInitializer:
    """Prepares the database at start-up, in the background if PostgreSQL is unreachable.

    A worker therefore starts and serves predictions without a database.
    """

    def __init__(self, url: str, analyst: AnalystLogin, settings: ServiceSettings) -> None:
        self._url, self._analyst, self._settings = url, analyst, settings
        self._task: asyncio.Task[None] | None = None
        self.ready = False

    async def start(self) -> None:
        """Prepare the database now; if that fails, retry in the background."""
        if not await self._prepare():
            self._task = asyncio.create_task(self._retry_until_ready(), name="database-initializer")

    async def stop(self) -> None:
        """Cancel the background task."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check_health(self) -> HealthCheck:
        """Return whether the database has been prepared."""
        return HealthCheck("ok") if self.ready else HealthCheck("degraded", "The database is not prepared yet.")

    async def _prepare(self) -> bool:
        try:
            await asyncio.to_thread(prepare_database, self._url, self._analyst, self._settings)
        except OperationalError as error:
            log.warning("database_not_prepared", error=str(error.orig).strip().splitlines()[0])
            return False
        except DatabaseError as error:  # migrations are pending that another login has to run
            log.warning("database_not_prepared", error=str(error))
            return False
        self.ready = True
        return True

    async def _retry_until_ready(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._prepare():
                return
