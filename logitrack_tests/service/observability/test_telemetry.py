"""OpenTelemetry traces."""

from __future__ import annotations

import http.server
import threading
import time
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from logitrack_service.observability.telemetry import TracingMiddleware
from logitrack_tests.service.conftest import ServiceHome


def test_traces_are_sent_to_the_configured_collector(isolated_home: ServiceHome, monkeypatch: pytest.MonkeyPatch):
    received: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Suppress the access log."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with isolated_home.worker() as client:
        assert client.get("/health/live").status_code == 200
        deadline = time.monotonic() + 5
        while not received and time.monotonic() < deadline:
            time.sleep(0.05)
    server.shutdown()
    server.server_close()
    assert set(received) == {"/v1/traces"}


@get("/accounts/{username:str}/role", sync_to_thread=False)
def role(username: FromPath[str]) -> str:
    """Return a response, or fail for one username."""
    if username == "broken":
        raise RuntimeError("broken")
    return "user"


def spans_of(path: str, headers: dict[str, str] | None = None) -> list[ReadableSpan]:
    """Return the spans that one request produces."""
    exporter = InMemorySpanExporter()
    app = Litestar([role])
    app.asgi_handler = TracingMiddleware(app.asgi_handler, SimpleSpanProcessor(exporter))
    with TestClient(app, raise_server_exceptions=False) as client:
        client.get(path, headers=headers)
    return list(exporter.get_finished_spans())


def test_span_is_named_after_the_route_template():
    (span,) = spans_of("/accounts/alice@example.com/role?token=abc")
    assert span.name == "GET /accounts/{username}/role"
    assert span.kind == SpanKind.SERVER
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/accounts/{username}/role",
        "url.scheme": "http",
    }


def test_span_of_an_unknown_path_carries_only_the_method():
    (span,) = spans_of("/private/alice")
    assert span.name == "GET"
    assert "alice" not in span.to_json()
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 404


def test_span_of_a_failed_request_has_error_status():
    (span,) = spans_of("/accounts/broken/role")
    assert span.status.status_code == StatusCode.ERROR


def test_span_continues_the_trace_of_the_caller():
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    (span,) = spans_of("/accounts/alice/role", {"traceparent": f"00-{trace_id}-{parent_id}-01"})
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == trace_id
    assert f"{span.parent.span_id:016x}" == parent_id
