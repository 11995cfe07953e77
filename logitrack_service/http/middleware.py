"""Outermost ASGI middleware: request id, security headers, access log and request metrics.

It wraps routing and error handling, so responses with status 401, 404, 429 and 500 are logged and counted as such.
"""

from __future__ import annotations

import re
import secrets
import time
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from logitrack_service.http.problems import PROBLEM_JSON, server_error
from logitrack_service.observability import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram  # at run time only `metrics` may import it first

log = structlog.get_logger("logitrack.requests")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNLOGGED_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})  # polled every few seconds

API_POLICY = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"geolocation=(), camera=(), microphone=()"),
)
DEFAULT_HEADERS = ((b"content-security-policy", API_POLICY), (b"cache-control", b"no-store"))
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def client_address(scope: Scope) -> str:
    """Return the address of the client; uvicorn has replaced a trusted proxy's address by the forwarded one."""
    client = scope.get("client")
    return client[0] if client else "unknown"


class RequestContextMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = _add_headers(list(message["headers"]), request_id, scope)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("unhandled_error")
            if not started:
                await _send_server_error(send_with_headers, request_id)
        finally:
            _record(scope, status, time.perf_counter() - started_at)


def _request_id(scope: Scope) -> str:
    """Return the client's `X-Request-ID` if it is safe to log, else a new id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(16)


def _add_headers(headers: list[tuple[bytes, bytes]], request_id: str, scope: Scope) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    headers.append((b"x-request-id", request_id.encode()))
    headers.extend(SECURITY_HEADERS)
    headers.extend(header for header in DEFAULT_HEADERS if header[0] not in present)
    if scope.get("scheme") == "https":
        headers.append(HTTPS_ONLY)
    return headers


async def _send_server_error(send: Send, request_id: str) -> None:
    body = msgspec.json.encode(server_error(request_id))
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _record(scope: HTTPScope, status: int, seconds: float) -> None:
    """Count and log one response."""
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    # The template, not the path: clients could create any number of label values.
    route = scope.get("path_template") or "unmatched"
    requests, request_seconds = _request_metrics(method, route, status)
    requests.inc()
    request_seconds.observe(seconds)
    if route in _UNLOGGED_ROUTES:
        return
    user = scope.get("user")
    log.info(
        "request",
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 2),
        address=client_address(scope),
        account_id=user.account_id if user else None,
    )


@cache  # looking up the children costs more than updating them; their number is bounded by routes and statuses
def _request_metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return metrics.requests.labels(method, route, str(status)), metrics.request_seconds.labels(method, route)
