"""The outermost layer: every request gets an id, security headers, a line in the log and its place in the metrics.

It sits outside of routing and of error handling, so that 401, 404, 429 and 500 are counted as what they are.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from logitrack_service.http.problems import PROBLEM_JSON, Problem
from logitrack_service.observability import metrics

log = structlog.get_logger("logitrack.requests")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})  # asked every few seconds by machines

API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"geolocation=(), camera=(), microphone=()"),
)
DEFAULT_HEADERS = ((b"content-security-policy", API_POLICY), (b"cache-control", b"no-store"))
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


def client_address(scope: Scope) -> str:
    """The address of whoever asks. Behind a trusted proxy uvicorn has already put the real one here."""
    client = scope.get("client")
    return client[0] if client else "unknown"


class RequestContextMiddleware:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        began = False

        async def send_dressed(message: Message) -> None:
            nonlocal status, began
            if message["type"] == "http.response.start":
                status, began = message["status"], True
                message["headers"] = _dressed(list(message["headers"]), request_id, scope)
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except Exception:
            log.exception("unhandled_error")
            if not began:
                await _send_server_error(send_dressed, request_id)
        finally:
            _report(scope, status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    """The id that the caller gave, if it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid4().hex


def _dressed(headers: list[tuple[bytes, bytes]], request_id: str, scope: Scope) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    headers.append((b"x-request-id", request_id.encode()))
    headers.extend(SECURITY_HEADERS)
    headers.extend(header for header in DEFAULT_HEADERS if header[0] not in present)
    if scope.get("scheme") == "https":
        headers.append(HTTPS_ONLY)
    return headers


async def _send_server_error(send: Any, request_id: str) -> None:
    body = msgspec.json.encode(
        Problem(
            title=HTTPStatus(500).phrase,
            status=500,
            detail="Something went wrong on our side; it has been logged with this request's id.",
            request_id=request_id,
        )
    )
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _report(scope: Scope, status: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"  # type: ignore[typeddict-item]
    route = scope.get("path_template") or "unmatched"  # never the path itself: anybody could make it endless
    metrics.requests.labels(method, route, str(status)).inc()
    metrics.request_seconds.labels(method, route).observe(seconds)
    if route in _QUIET:
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
