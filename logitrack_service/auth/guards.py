"""Bearer-token authentication and role guards."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from logitrack_service.auth.roles import Role, includes_role
from logitrack_service.auth.tokens import Identity, InvalidTokenError
from logitrack_service.errors import AuthenticationError, PermissionDeniedError


class BearerAuthentication(AbstractAuthenticationMiddleware):
    """Requires an access token for every handler that does not set `exclude_from_auth=True`."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        """Return the identity in the request's access token.

        Raises:
            AuthenticationError: There is no token, or it is invalid, expired or revoked.
        """
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError("An access token is required: get one from /token.", challenge="Bearer")
        service = connection.app.state.service
        try:
            identity: Identity = service.tokens.read(token.strip())
        except InvalidTokenError:
            raise AuthenticationError("This access token is invalid or has expired.") from None
        if service.revocations.includes(identity.session_id):
            raise AuthenticationError("This access token has been revoked.")
        return AuthenticationResult(user=identity, auth=None)


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
