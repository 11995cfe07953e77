"""Authentication by access token or browser session, and role guards."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp, Guard

from logitrack_service.auth.browser_sessions import (
    CSRF_COOKIE,
    CSRF_HEADER,
    BrowserSessions,
    is_csrf_token,
    session_cookie_name,
)
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.roles import Role, includes_role
from logitrack_service.auth.tokens import Identity, InvalidTokenError, Tokens
from logitrack_service.errors import AuthenticationError, PermissionDeniedError

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110, 9.2.1


class Authenticator:
    """Identifies the caller of a request by its access token or, without one, by the cookie of a browser session."""

    def __init__(self, tokens: Tokens, revocations: Revocations, browser_sessions: BrowserSessions) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._browser_sessions = browser_sessions

    async def authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Identity:
        """Return the identity of the caller.

        Raises:
            AuthenticationError: The token or the cookie is missing, invalid, expired or revoked.
            PermissionDeniedError: A request with a cookie would change something and lacks the CSRF token.
        """
        authorization = connection.headers.get("authorization")
        if authorization is None and (cookie := connection.cookies.get(session_cookie_name(connection.scope))):
            return await self._authenticate_browser(connection, cookie)
        return self._authenticate_token(authorization or "")

    def _authenticate_token(self, authorization: str) -> Identity:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError("An access token is required: get one from /token.", challenge="Bearer")
        try:
            identity = self._tokens.read(token.strip())
        except InvalidTokenError:
            raise AuthenticationError("This access token is invalid or has expired.") from None
        if self._revocations.includes(identity.session_id):
            raise AuthenticationError("This access token has been revoked.")
        return identity

    async def _authenticate_browser(self, connection: ASGIConnection[Any, Any, Any, Any], cookie: str) -> Identity:
        identity = await self._browser_sessions.identify(cookie)
        if identity is None or self._revocations.includes(identity.session_id):
            raise AuthenticationError("This session has ended: sign in again.", challenge="Bearer")
        is_safe = connection.scope["method"] in SAFE_METHODS  # type: ignore[typeddict-item]  # HTTP only
        if not is_safe and not is_csrf_token(connection.headers.get(CSRF_HEADER, ""), cookie):
            raise PermissionDeniedError(
                f"With a session cookie, the header {CSRF_HEADER} has to hold the value of the cookie {CSRF_COOKIE}."
            )
        return identity


class Authentication(AbstractAuthenticationMiddleware):
    """Middleware that authenticates every request; handlers opt out with `exclude_from_auth=True`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        super().__init__(app)
        self._authenticator = authenticator

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """Return the identity of the caller as the user of the request."""
        return AuthenticationResult(user=await self._authenticator.authenticate(connection), auth=None)


def loopback_or_admin_guard(authenticator: Authenticator) -> Guard:
    """Return a guard that admits clients on the same machine without a token, and admins from anywhere.

    It is a function: Litestar copies other objects, whose list of revoked sessions would then not be kept current.
    """

    async def require_loopback_or_admin(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if is_loopback(connection):
            return
        if (await authenticator.authenticate(connection)).role != "admin":
            raise PermissionDeniedError("From another machine the role admin is required.")

    return require_loopback_or_admin


def is_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Return whether the client is on this machine; a request that a proxy forwarded is not."""
    forwarded = any(name in connection.headers for name in ("x-forwarded-for", "forwarded", "via"))
    return not forwarded and connection.client is not None and connection.client.host in ("127.0.0.1", "::1")


def require_analyst(connection: ASGIConnection[Any, Identity, Any, Any], _: BaseRouteHandler) -> None:
    """Admit analysts and admins.

    Raises:
        PermissionDeniedError: The caller has another role.
    """
    _require_role("analyst", connection)


def require_admin(connection: ASGIConnection[Any, Identity, Any, Any], _: BaseRouteHandler) -> None:
    """Admit admins.

    Raises:
        PermissionDeniedError: The caller has another role.
    """
    _require_role("admin", connection)


def _require_role(required: Role, connection: ASGIConnection[Any, Identity, Any, Any]) -> None:
    role = connection.user.role
    if not includes_role(role, required):
        raise PermissionDeniedError(f"The role {required} is required; this account has the role {role}.")
