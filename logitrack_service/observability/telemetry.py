"""OpenTelemetry traces, when an endpoint for them is configured; without one nothing is imported and nothing costs."""

from __future__ import annotations

import os

import structlog
from litestar.types import ASGIApp

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")  # OpenTelemetry's own names

log = structlog.get_logger("logitrack.service")


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span for each request, sent to the configured collector; else the application as it is."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return app
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no_traces", mend="an endpoint is configured, but the extra `otel` is not installed")
        return app
    provider = TracerProvider(resource=Resource.create({"service.name": "logitrack-service"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=["receive", "send"])  # type: ignore[return-value]
