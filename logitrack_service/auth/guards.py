"""Who may pass: the token on the way in, and the role at the door of a handler."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from logitrack_service.auth.tokens import Identity, InvalidTokenError
from logitrack_service.http.problems import problem

ROLES = ("user", "analyst", "admin")  # each may do what those before it may


class BearerAuthentication(AbstractAuthenticationMiddleware):
    """Closed by default: every handler needs a token unless it says `exclude_from_auth=True` itself."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("This needs an access token: get one from /token.", challenge="Bearer")
        service = connection.app.state.service
        try:
            identity = service.tokens.read(token.strip())
        except InvalidTokenError:
            raise unauthorized("This access token is not valid or has expired.") from None
        if service.revocations.includes(identity.session_id):
            raise unauthorized("This access token has been revoked.")
        return AuthenticationResult(user=identity, auth=None)


def unauthorized(detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> Exception:
    """A 401 with the challenge that RFC 6750 asks for."""
    return problem(401, detail, headers={"WWW-Authenticate": challenge})


def require_analyst(connection: ASGIConnection[Any, Identity, Any, Any], _: BaseRouteHandler) -> None:
    """Lets analysts and admins pass."""
    _require("analyst", connection)


def require_admin(connection: ASGIConnection[Any, Identity, Any, Any], _: BaseRouteHandler) -> None:
    """Lets admins pass."""
    _require("admin", connection)


def _require(role: str, connection: ASGIConnection[Any, Identity, Any, Any]) -> None:
    has = connection.user.role
    if has not in ROLES or ROLES.index(has) < ROLES.index(role):
        raise problem(403, f"This needs the role {role}; you have the role {has}.")
