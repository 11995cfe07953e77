"""/health and /metrics: what the operator's machines ask."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

import msgspec
from litestar import Request, Response, get
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from logitrack_service.auth.guards import BearerAuthentication
from logitrack_service.dependencies import Service, service_of
from logitrack_service.http.problems import problem
from logitrack_service.observability import metrics

DATABASE_SECONDS = 2.0  # an answer later than this is no answer
STALE_SECONDS = 20.0  # without news of revocations

State = Literal["ok", "degraded", "failed"]


class Liveness(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class HealthCheck(msgspec.Struct):
    """One thing that answering depends on."""

    status: State
    reason: str | None = None


class Readiness(msgspec.Struct):
    """Whether questions can be answered: `degraded` means yes, but somebody should look."""

    status: State
    checks: dict[str, HealthCheck]
    model_version: str | None


@get("/health/live", exclude_from_auth=True, summary="Is the process alive?", tags=["operations"])
async def live() -> Liveness:
    """Answers as long as the event loop turns."""
    return Liveness()


@get("/health/ready", exclude_from_auth=True, summary="Can it answer?", tags=["operations"])
async def ready(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """200 when predictions are answered (`ok` or `degraded`, with the reason), 503 when not.

    Without PostgreSQL predictions go on while logins, analytics and outcomes do not: that is degraded.
    """
    service = service_of(request)
    checks = {
        "model": _model(service),
        "database": await _database(service),
        "migrations": HealthCheck("ok")
        if service.schema.ready
        else HealthCheck("degraded", "The database is not prepared yet."),
        "revocations": _revocations(service),
    }
    states = {check.status for check in checks.values()}
    status: State = "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
    serving = service.champion.current
    body = Readiness(status, checks, serving.champion.version if serving else None)
    return Response(body, status_code=503 if status == "failed" else 200)


def _model(service: Service) -> HealthCheck:
    last_error = service.champion.last_error
    if service.champion.current is None:
        return HealthCheck("failed", last_error or "There is no champion yet.")
    return HealthCheck("degraded", last_error) if last_error else HealthCheck("ok")


async def _database(service: Service) -> HealthCheck:
    try:
        async with asyncio.timeout(DATABASE_SECONDS), service.database.connect() as connection:
            await connection.execute(text("select 1"))
    except Exception as error:  # whatever keeps it from answering is the news
        return HealthCheck("degraded", f"PostgreSQL does not answer ({type(error).__name__}).")
    return HealthCheck("ok")


def _revocations(service: Service) -> HealthCheck:
    if time.monotonic() - service.revocations.read_at > STALE_SECONDS:
        return HealthCheck("degraded", "Revoked logins have not been read lately; those from before are refused.")
    return HealthCheck("ok")


@get("/metrics", exclude_from_auth=True, media_type=metrics.CONTENT_TYPE, summary="Prometheus", tags=["operations"])
async def prometheus(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Metrics of all workers, for this machine or, by setting, for everyone; else for admins."""
    service = service_of(request)
    if service.service_settings.metrics_access != "everyone" and not _from_this_machine(request):
        result = await BearerAuthentication(app=request.app).authenticate_request(request)
        if result.user.role != "admin":
            raise problem(403, "From elsewhere, metrics are for admins.")
    pool = service.database.pool
    assert isinstance(pool, QueuePool)
    metrics.pool_connections.labels("in use").set(pool.checkedout())
    metrics.pool_connections.labels("idle").set(pool.checkedin())
    return Response(await asyncio.to_thread(metrics.exposition), media_type=metrics.CONTENT_TYPE)


def _from_this_machine(request: Request[Any, Any, Any]) -> bool:
    """Whether the peer is on loopback and does not speak for somebody else, as an unknown proxy would."""
    forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "via"))
    return not forwarded and request.client is not None and request.client.host in ("127.0.0.1", "::1")


routes = [live, ready, prometheus]
