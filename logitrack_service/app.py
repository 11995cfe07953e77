"""The application: assembly only. `create_app()` is what uvicorn's `--factory` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from litestar import Litestar
from litestar.middleware import DefineMiddleware

from logitrack_assets.database import database_url
from logitrack_assets.settings import Settings, get_settings
from logitrack_service.analytics import routes as analytics
from logitrack_service.analytics.analyst_role import analyst_login
from logitrack_service.analytics.query import AnalystQueries
from logitrack_service.analytics.reports import Reports
from logitrack_service.auth import routes as auth
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.guards import BearerAuthentication
from logitrack_service.auth.keys import Keys, load_keys
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.sessions import Revocations
from logitrack_service.auth.tokens import Tokens
from logitrack_service.console import routes as web
from logitrack_service.database import connect, driver_dsn
from logitrack_service.database_initializer import DatabaseInitializer
from logitrack_service.dependencies import Service
from logitrack_service.http.decoding import StrictRequest
from logitrack_service.http.middleware import RequestContextMiddleware
from logitrack_service.http.openapi import complete, openapi_config
from logitrack_service.http.problems import problem_response
from logitrack_service.observability import health
from logitrack_service.observability.logs import configure_logs
from logitrack_service.observability.telemetry import traced
from logitrack_service.predictions import routes as predictions
from logitrack_service.predictions.batching import DynamicBatcher
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.settings import ServiceSettings, get_service_settings

MAX_BODY_BYTES = 4_000_000  # bytes; handlers set smaller ones

log = structlog.get_logger("logitrack.service")


def create_app(settings: Settings | None = None, service_settings: ServiceSettings | None = None) -> Litestar:
    """The service, ready to be run by an ASGI server.

    Raises:
        SettingsError: a setting is wrong, above all a key that is missing, short or known to everybody.
    """
    settings = settings or get_settings()
    service_settings = service_settings or get_service_settings()
    configure_logs(service_settings.log_level)
    keys = load_keys(settings, service_settings)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with running_service(settings, service_settings, keys) as service:
            app.state.service = service
            yield

    app = Litestar(
        route_handlers=[*auth.routes, *predictions.routes, *analytics.routes, *health.routes, *web.routes],
        lifespan=[lifespan],
        middleware=[DefineMiddleware(BearerAuthentication)],
        exception_handlers={Exception: problem_response},
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        logging_config=None,
        debug=False,
    )
    complete(app)
    app.asgi_handler = traced(RequestContextMiddleware(app.asgi_handler))
    return app


@asynccontextmanager
async def running_service(settings: Settings, service_settings: ServiceSettings, keys: Keys) -> AsyncIterator[Service]:
    """Starts a worker's parts and, at the end, stops them in reverse: what is queued is flushed."""
    async with AsyncExitStack() as stack:
        url = await asyncio.to_thread(database_url, settings)
        analyst = analyst_login(url, keys, service_settings)
        database = connect(url)
        stack.push_async_callback(database.dispose)
        passwords = Passwords(service_settings)
        stack.callback(passwords.close)
        tokens = Tokens(keys, minutes=service_settings.access_token_minutes)
        revocations = Revocations(driver_dsn(url), token_seconds=tokens.seconds)
        schema = DatabaseInitializer(url, analyst)
        champion = ModelReloader(settings.home / "models", database)
        prediction_log = PredictionLog(driver_dsn(url))

        for part in (schema, revocations, champion):
            await part.start()
            stack.push_async_callback(part.stop)
        prediction_log.start()
        stack.push_async_callback(asyncio.to_thread, prediction_log.stop)
        log.info("service_started", embedded=settings.embedded)
        yield Service(
            settings=settings,
            service_settings=service_settings,
            database=database,
            schema=schema,
            tokens=tokens,
            revocations=revocations,
            accounts=Accounts(database, passwords, revocations, refresh_days=service_settings.refresh_token_days),
            champion=champion,
            prediction_log=prediction_log,
            batcher=DynamicBatcher(prediction_log),
            reports=Reports(database),
            queries=AnalystQueries(driver_dsn(analyst.url), service_settings),
        )
    log.info("service_stopped")
