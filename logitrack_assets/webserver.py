"""Dagster's web UI with the health of the platform, behind a guard against requests that other web pages send.

Dagster's webserver has no login. It takes GraphQL mutations by GET, from every origin and under every host name, so a
page on the internet could delete runs and assets of a webserver on loopback, or read from it through DNS rebinding
(https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).

`GET /health` answers with JSON (`platform_health`), except for a browser that opens the UI's own page of that address.

    python -m logitrack_assets.webserver --workspace workspace.yaml [--host …] [--port …] [--read-only]
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import (
    BaseWorkspaceRequestContext,
    WorkspaceProcessContext,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logitrack_assets.platform_health import platform_health
from logitrack_assets.settings import Settings, get_settings

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
GRAPHQL_PATH, HEALTH_PATH = "/graphql", "/health"
SAFE_METHODS = frozenset({"GET", "HEAD"})
SAME_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for requests of the UI's own pages and for an address that a user typed."""

# Dagster's defaults for its webserver.
STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_SECONDS = 3_600
POOL_MAX_OVERFLOW = 20
LIVE_DATA_POLL_MS = 2_000


@dataclass(frozen=True)
class Refusal:
    """The response to a request that the guard refuses."""

    status: int
    reason: str


class RequestGuard:
    """ASGI middleware that passes on only requests of the UI's own pages and of clients that are no browsers.

    Args:
        app: The guarded application.
        allowed_hosts: Names in the `Host` header of requests that are answered, lower-case, without port.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self._app, self._allowed_hosts = app, frozenset(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket handshake with a refusal, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = find_refusal(scope, self._allowed_hosts)
        if refusal is None:
            await self._app(scope, receive, _without_framing(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason})
        else:
            await PlainTextResponse(refusal.reason, refusal.status)(scope, receive, send)


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, BaseWorkspaceRequestContext]):
    """Dagster's webserver with `RequestGuard` as its outermost middleware and the health of the platform."""

    def __init__(self, context: WorkspaceProcessContext, settings: Settings) -> None:
        self._instance, self._settings = context.instance, settings
        super().__init__(context, live_data_poll_rate=LIVE_DATA_POLL_MS)

    def build_middleware(self) -> list[Middleware]:
        """Return the guard, then Dagster's own middleware."""
        return [Middleware(RequestGuard, allowed_hosts=allowed_hosts(self._settings)), *super().build_middleware()]

    def build_routes(self) -> list[BaseRoute]:
        """Return the health of the platform, then Dagster's own routes."""
        routes: list[BaseRoute] = super().build_routes()  # type: ignore[no-untyped-call]
        return [Route(HEALTH_PATH, self.health_endpoint), *routes]

    def health_endpoint(self, request: Request) -> Response:
        """Return the health of the platform: 200 for `ok` and `degraded`, 503 for `failed`."""
        if _is_page(request.headers):  # Dagster's own page of its daemons
            page: Response = self.index_html_endpoint(request)
            return page
        health = platform_health(self._instance, self._settings)
        return JSONResponse(health, status_code=503 if health["status"] == "failed" else 200)


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Return the host names under which the UI answers."""
    return LOOPBACK_HOSTS | {settings.dagster_host.lower()} | set(settings.dagster_allowed_hosts)


def find_refusal(scope: Scope, hosts: Collection[str]) -> Refusal | None:
    """Return why a request is refused, or None when it is passed on.

    Args:
        scope: ASGI scope of a request or of a WebSocket handshake.
        hosts: Allowed host names.
    """
    headers = Headers(scope=scope)
    method, path = scope.get("method", "GET"), scope["path"].rstrip("/")
    host = _only_value(headers.getlist("host"))
    if host is None or _host_name(host) not in hosts:
        return Refusal(421, "This host name is not one of Dagster's UI; LOGITRACK_DAGSTER_ALLOWED_HOSTS adds names.")
    if not _is_own_origin(headers.getlist("origin"), host) or not _is_same_site(headers, scope, path):
        return Refusal(403, "Requests of other web pages are refused.")
    if path != GRAPHQL_PATH or scope["type"] == "websocket":
        return None
    if method in SAFE_METHODS and not _is_page(headers):
        return Refusal(405, "GraphQL is answered by POST only.")
    # A POST of another type is a form, which a page may send anywhere; Dagster would read its query from the address.
    if method not in SAFE_METHODS and not headers.get("content-type", "").startswith("application/json"):
        return Refusal(415, "GraphQL requests have the content type application/json.")
    return None


def _is_page(headers: Headers) -> bool:
    """Return whether a browser opens a page."""
    return "text/html" in headers.get("accept", "")


def _only_value(values: Sequence[str]) -> str | None:
    return values[0].strip().lower() if len(values) == 1 else None


def _host_name(host: str) -> str | None:
    """Return the name or address in a `Host` header, without port and brackets, or None when it has none."""
    try:
        return urlsplit(f"//{host}").hostname if not set(host) & set("/?#@\\") else None
    except ValueError:
        return None


def _is_own_origin(origins: Sequence[str], host: str) -> bool:
    """Return whether the request comes from a page of this host; a client that is no browser sends no origin."""
    if not origins:
        return True
    origin = _only_value(origins)
    return origin in (f"http://{host}", f"https://{host}")


def _is_same_site(headers: Headers, scope: Scope, path: str) -> bool:
    """Return whether the browser, if it is one, sent the request for a page of this host or for a followed link."""
    site = headers.get("sec-fetch-site")
    if site is None or site in SAME_SITE:
        return True
    followed_link = (
        scope["type"] == "http"
        and scope["method"] in SAFE_METHODS
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return followed_link and path != GRAPHQL_PATH


def _without_framing(send: Send) -> Send:
    """Return `send` with a response header that forbids other pages to frame the UI (clickjacking)."""

    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "DENY"
        await send(message)

    return send_with_header


def parse_arguments(settings: Settings, arguments: Iterable[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; the settings are their defaults."""
    parser = argparse.ArgumentParser(prog="python -m logitrack_assets.webserver", description=__doc__)
    parser.add_argument("--workspace", required=True, help="file that names the code locations")
    parser.add_argument("--host", default=settings.dagster_host, help="address to listen on")
    parser.add_argument("--port", type=int, default=settings.dagster_port, help="port to listen on")
    parser.add_argument("--read-only", action="store_true", help="refuse every mutation")
    return parser.parse_args(list(arguments) if arguments is not None else None)


def serve_web_ui() -> None:
    """Serve the UI until a termination signal."""
    settings = get_settings()
    options = parse_arguments(settings)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_SECONDS, POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget([options.workspace])
        with WorkspaceProcessContext(instance, target, version=__version__, read_only=options.read_only) as context:
            app: Any = GuardedWebserver(context, settings).create_asgi_app()
            uvicorn.run(app, host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    serve_web_ui()
