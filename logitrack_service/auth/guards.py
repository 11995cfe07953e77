"""Bearer-token authentication and role guards."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.roles import Role, includes_role
from logitrack_service.auth.tokens import Identity, InvalidTokenError, Tokens
from logitrack_service.errors import AuthenticationError, PermissionDeniedError


class BearerAuthenticator:
    """Identifies the caller of a request by its access token."""

    def __init__(self, tokens: Tokens, revocations: Revocations) -> None:
        self._tokens = tokens
        self._revocations = revocations

    def authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Identity:
        """Return the identity of the caller.

        Raises:
            AuthenticationError: The token is missing, invalid, expired or revoked.
        """
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError("An access token is required: get one from /token.", challenge="Bearer")
        try:
            identity = self._tokens.read(token.strip())
        except InvalidTokenError:
            raise AuthenticationError("This access token is invalid or has expired.") from None
        if self._revocations.includes(identity.session_id):
            raise AuthenticationError("This access token has been revoked.")
        return identity


class BearerAuthentication(AbstractAuthenticationMiddleware):
    """Middleware that authenticates every request; handlers opt out with `exclude_from_auth=True`."""

    def __init__(self, app: ASGIApp, authenticator: BearerAuthenticator) -> None:
        super().__init__(app)
        self._authenticator = authenticator

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """Return the identity of the caller as the user of the request."""
        return AuthenticationResult(user=self._authenticator.authenticate(connection), auth=None)


class LoopbackOrAdminGuard:
    """Guard that admits clients on the same machine without a token, and admins from anywhere."""

    def __init__(self, authenticator: BearerAuthenticator) -> None:
        self._authenticator = authenticator

    def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Admit or refuse a request.

        Raises:
            AuthenticationError: The client is on another machine and sent no valid token.
            PermissionDeniedError: The client is on another machine and not an admin.
        """
        if not is_loopback(connection) and self._authenticator.authenticate(connection).role != "admin":
            raise PermissionDeniedError("From another machine the role admin is required.")


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
