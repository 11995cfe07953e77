"""Types that the handlers of owners and of admins share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request

from logitrack_service.auth.accounts import Account
from logitrack_service.auth.administration import Actor
from logitrack_service.auth.passwords import MAX_LENGTH, MIN_LENGTH
from logitrack_service.auth.roles import Role
from logitrack_service.auth.sessions import StoredSession
from logitrack_service.auth.tokens import Identity
from logitrack_service.auth.usernames import MAX_USERNAME_LENGTH, MIN_USERNAME_LENGTH, USERNAME_PATTERN
from logitrack_service.http.middleware import client_address

MAX_BODY_BYTES = 16_384  # of a login, a registration or a change of an account

NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text cannot hold it
EXAMPLE_USERNAME, EXAMPLE_PASSWORD = "dispatcher-1", "seven yellow cabs in the rain"

Username = Annotated[
    str,
    msgspec.Meta(pattern=USERNAME_PATTERN, min_length=MIN_USERNAME_LENGTH, max_length=MAX_USERNAME_LENGTH),
]
NewPassword = Annotated[str, msgspec.Meta(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Profile(msgspec.Struct):
    """An account, as its owner and admins see it. Outcomes count for the model only if the account is vouched for."""

    username: str
    role: Role
    created_at: Instant
    vouched: bool
    disabled: bool

    @classmethod
    def from_account(cls, account: Account) -> Profile:
        """Return what an account's owner and admins may see of it."""
        return cls(account.username, account.role, account.created_at, account.vouched, account.disabled_at is not None)


class SessionEntry(msgspec.Struct):
    """An open session. `network` is the address or network of its login; `current` marks the caller's own."""

    session_id: str
    created_at: Instant
    last_used_at: Instant
    expires_at: Instant
    network: str | None
    current: bool

    @classmethod
    def from_session(cls, session: StoredSession, *, current_id: str) -> SessionEntry:
        """Return a session as its owner and admins see it; `current_id` is the session of the request."""
        return cls(
            session.session_id,
            session.created_at,
            session.last_used_at,
            session.expires_at,
            session.network,
            session.session_id == current_id,
        )


def actor_of(request: Request[Identity, Any, Any]) -> Actor:
    """Return who sent a request, for the audit."""
    return Actor(request.user.username, client_address(request.scope))
