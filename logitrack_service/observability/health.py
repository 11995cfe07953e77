"""Health checks and the readiness that they add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

DATABASE_TIMEOUT_SECONDS = 2.0

HealthState = Literal["ok", "degraded", "failed"]


class HealthCheck(msgspec.Struct):
    """Result of one health check; `reason` is a sentence unless the status is `ok`."""

    status: HealthState
    reason: str | None = None


class Liveness(msgspec.Struct):
    """Response of a process whose event loop is running.

    `instance` is the random id of the installation, which `logitrack doctor` compares with that of its home folder;
    null where the home folder has none and cannot be written.
    """

    status: Literal["ok"] = "ok"
    instance: str | None = None


class Readiness(msgspec.Struct):
    """Whether predictions can be served: `degraded` means yes, but a dependency needs attention."""

    status: HealthState
    checks: dict[str, HealthCheck]
    model_version: str | None


class ReadinessProbe:
    """Runs the injected health checks."""

    def __init__(
        self,
        checks: Mapping[str, Callable[[], Awaitable[HealthCheck]]],
        *,
        model_version: Callable[[], str | None],
    ) -> None:
        self._checks = checks
        self._model_version = model_version

    async def run(self) -> Readiness:
        """Run all checks; the status is that of the worst one."""
        results = {name: await check() for name, check in self._checks.items()}
        states = {result.status for result in results.values()}
        status: HealthState = "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
        return Readiness(status, results, self._model_version())


async def check_database(engine: AsyncEngine) -> HealthCheck:
    """Return whether PostgreSQL answers a query within `DATABASE_TIMEOUT_SECONDS`.

    Without it predictions continue, while logins, analytics and outcomes fail: the service is degraded.
    """
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS), engine.connect() as connection:
            await connection.execute(text("select 1"))
    except Exception as error:  # any failure has the same meaning for readiness
        return HealthCheck("degraded", f"PostgreSQL does not respond ({type(error).__name__}).")
    return HealthCheck("ok")
