"""/health and /metrics: endpoints for orchestrators and monitoring."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.types import Guard
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from logitrack_service.observability import metrics
from logitrack_service.observability.health import Liveness, Readiness, ReadinessProbe
from logitrack_service.observability.platform_metrics import update_platform_metrics


@get("/health/live", exclude_from_auth=True, summary="Liveness")
async def live(liveness: NamedDependency[Liveness]) -> Liveness:
    """Return 200 while the event loop is running."""
    return liveness


@get(
    "/health/ready",
    exclude_from_auth=True,
    responses={503: ResponseSpec(Readiness, description="Predictions cannot be served.", generate_examples=False)},
    summary="Readiness",
)
async def ready(readiness_probe: NamedDependency[ReadinessProbe]) -> Response[Readiness]:
    """Return 200 if predictions can be served (`ok`, or `degraded` with the reason), else 503.

    Without PostgreSQL predictions continue, while logins, analytics and outcomes fail: the service is degraded.
    """
    readiness = await readiness_probe.run()
    return Response(readiness, status_code=503 if readiness.status == "failed" else 200)


@get("/metrics", exclude_from_auth=True, media_type="text/plain", summary="Prometheus metrics")
async def prometheus_metrics(engine: NamedDependency[AsyncEngine]) -> Response[bytes]:
    """Return the metrics of all worker processes in the text format of Prometheus.

    Open to clients on the same machine; other clients need the token of an admin, unless the setting
    `LOGITRACK_METRICS_ACCESS` opens it.
    """
    await update_platform_metrics(engine)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    metrics.pool_connections.labels("in use").set(pool.checkedout())
    metrics.pool_connections.labels("idle").set(pool.checkedin())
    exposition = await asyncio.to_thread(metrics.exposition)
    # As a header: Litestar would add a second charset to a media type.
    return Response(exposition, headers={"content-type": metrics.CONTENT_TYPE})


def operations_routes(*, metrics_guards: Sequence[Guard]) -> list[Router]:
    """Return the routers of this module.

    Args:
        metrics_guards: guards of `/metrics`; empty for open access.
    """
    return [
        Router("/", route_handlers=[live, ready], tags=["operations"]),
        Router("/", route_handlers=[prometheus_metrics], guards=metrics_guards, tags=["operations"]),
    ]
