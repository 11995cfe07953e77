"""OpenTelemetry traces. Without a configured endpoint nothing is imported and requests carry no overhead.

The spans carry an allow-list of attributes and are named after the route template. OpenTelemetry's own ASGI
instrumentation records the raw path and the query string, which contain usernames.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")  # OpenTelemetry's own names

log = structlog.get_logger("logitrack.service")


def instrument(app: ASGIApp) -> ASGIApp:
    """Return the application with one span per request, or unchanged if no endpoint is configured."""
    if not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return app
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("tracing_disabled", hint="an endpoint is configured, but the extra `otel` is not installed")
        return app
    return TracingMiddleware(app, BatchSpanProcessor(OTLPSpanExporter()))


class TracingMiddleware:
    """ASGI middleware that records one server span per request (semantic conventions for HTTP 1.23 and later)."""

    def __init__(self, app: ASGIApp, processor: SpanProcessor) -> None:
        """Create the tracer.

        Args:
            app: the ASGI application.
            processor: receives the finished spans.
        """
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider(resource=Resource.create({"service.name": "logitrack-service"}))
        provider.add_span_processor(processor)
        self._app = app
        self._tracer = provider.get_tracer("logitrack_service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; the parent span comes from the header `traceparent`."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method,
            context=extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": scope.get("scheme", "http")},
        ) as span:

            async def send_with_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, send_with_status)
            # Litestar's router stores the template in the scope; it is missing for unknown paths.
            if route := scope.get("path_template"):
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
