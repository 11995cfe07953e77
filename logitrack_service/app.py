"""Factories that uvicorn calls in every worker process: of the application and of the protocol of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import structlog
from litestar import Litestar
from litestar.middleware import DefineMiddleware

from logitrack_assets.database import database_url
from logitrack_assets.settings import Settings, get_settings
from logitrack_service import pipeline, zones
from logitrack_service.analytics import routes as analytics
from logitrack_service.auth import admin_routes as accounts
from logitrack_service.auth import routes as auth
from logitrack_service.auth.guards import Authentication, loopback_or_admin_guard
from logitrack_service.auth.keys import load_keys
from logitrack_service.console import routes as console
from logitrack_service.dependencies import Components
from logitrack_service.http.connections import ConnectionLimits
from logitrack_service.http.decoding import StrictRequest
from logitrack_service.http.middleware import RequestContextMiddleware
from logitrack_service.http.openapi import MsgspecSchemaPlugin, OperationPlugin, openapi_config
from logitrack_service.http.problems import problem_response
from logitrack_service.http.protocol import CoalescingHttpProtocol
from logitrack_service.http.query_parameters import reject_unknown_parameters
from logitrack_service.observability.logs import configure_logs
from logitrack_service.observability.memory import frozen_heap
from logitrack_service.observability.routes import operations_routes
from logitrack_service.observability.telemetry import instrument
from logitrack_service.predictions import model_routes as models
from logitrack_service.predictions import routes as predictions
from logitrack_service.settings import ServiceSettings, get_service_settings

MAX_BODY_BYTES = 4_000_000  # default; handlers set lower limits

log = structlog.get_logger("logitrack.service")


def create_app(settings: Settings | None = None, service_settings: ServiceSettings | None = None) -> Litestar:
    """Return the application, ready to be run by an ASGI server.

    Raises:
        SettingsError: a setting is invalid, for example a signing key that is missing, short or published.
        DatabaseError: the embedded database cannot be started.
    """
    settings = settings or get_settings()
    service_settings = service_settings or get_service_settings()
    configure_logs(service_settings.log_level)
    components = Components(settings, service_settings, load_keys(settings, service_settings), database_url(settings))

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with components.running():
            with frozen_heap():
                log.info("service_started", embedded=settings.embedded)
                yield
        log.info("service_stopped")

    open_metrics = service_settings.metrics_access == "everyone"
    app = Litestar(
        route_handlers=[
            *auth.routes,
            *accounts.routes,
            *predictions.routes,
            *models.routes,
            *analytics.routes,
            *pipeline.routes,
            *zones.routes,
            *operations_routes(
                metrics_guards=[] if open_metrics else [loopback_or_admin_guard(components.authenticator)]
            ),
            *console.routes,
        ],
        dependencies=components.providers(),
        lifespan=[lifespan],
        middleware=[DefineMiddleware(Authentication, authenticator=components.authenticator)],
        before_request=reject_unknown_parameters,
        exception_handlers={Exception: problem_response},
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        plugins=[MsgspecSchemaPlugin(), OperationPlugin()],
        logging_config=None,
        debug=False,
    )
    app.asgi_handler = instrument(RequestContextMiddleware(app.asgi_handler))
    return app


def create_protocol(**options: Any) -> CoalescingHttpProtocol:
    """Return the protocol of one connection; uvicorn calls this by its name, in the worker process.

    An object in uvicorn's configuration would be imported while a worker process starts, before it knows its parent:
    the metrics would then not be shared between workers.
    """
    return CoalescingHttpProtocol(limits=_connection_limits(), **options)


@lru_cache(maxsize=1)
def _connection_limits() -> ConnectionLimits:
    settings = get_service_settings()
    return ConnectionLimits(
        max_connections=settings.max_connections,
        max_per_address=settings.max_connections_per_address,
        trusted_proxies=settings.trusted_proxies,
    )
