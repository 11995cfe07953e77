"""Sessions and their credentials in PostgreSQL.

A session starts with a login; every token issued from that login belongs to it and ends with it. A program's session
has refresh tokens, a browser's a cookie. These functions run in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_assets.database.tables import refresh_tokens, sessions
from logitrack_service.auth.revocations import CHANNEL
from logitrack_service.settings import ServiceSettings

DELETE_AFTER = timedelta(days=1)  # after a session's expiry
MAX_DELETED_SESSIONS = 100  # per login

AddCredential = Callable[[AsyncConnection, str], Awaitable[str]]  # connection, session id; returns the credential


@dataclass(frozen=True)
class SessionPolicy:
    """Limits of sessions.

    Attributes:
        lifetime: From the login, however often the session is refreshed.
        max_idle: Without a refresh. Access tokens live an hour at most, so those of an idle session have expired.
        max_per_account: Open sessions; a login beyond them revokes the least recently used ones.
    """

    lifetime: timedelta
    max_idle: timedelta
    max_per_account: int

    def active(self) -> ColumnElement[bool]:
        """Return the condition that a session is neither revoked, nor expired, nor idle for too long."""
        return and_(
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > func.now(),
            sessions.c.last_used_at > func.now() - self.max_idle,
        )


@dataclass(frozen=True)
class OpenedSession:
    """A new session with its credential, and the ids of the sessions that were revoked to make room."""

    session_id: str
    credential: str
    revoked: list[str]


@dataclass(frozen=True)
class StoredSession:
    """An active session of an account. `network` is that of the login, None for logins before it was recorded."""

    session_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    network: str | None


@dataclass(frozen=True)
class StoredRefreshToken:
    """A refresh token's row with its session.

    Attributes:
        session_id: UUID of the session.
        account_id: The session's account; None if it has been deleted.
        used: The token has been exchanged before.
    """

    session_id: str
    account_id: int | None
    used: bool


def session_policy(settings: ServiceSettings) -> SessionPolicy:
    """Return the limits of sessions from the settings."""
    return SessionPolicy(
        lifetime=timedelta(days=settings.refresh_token_days),
        max_idle=timedelta(hours=settings.session_idle_hours),
        max_per_account=settings.max_sessions_per_account,
    )


def digest_credential(credential: str) -> bytes:
    """Return the SHA-256 digest under which a credential is stored; 256 random bits need no slow hash."""
    return hashlib.sha256(credential.encode()).digest()


async def open_session(
    connection: AsyncConnection,
    account_id: int,
    *,
    network: str,
    policy: SessionPolicy,
    add_credential: AddCredential,
) -> OpenedSession:
    """Open a session of an account that is locked, and revoke those beyond the maximum."""
    # Deleting expired sessions here keeps the table as small as the number of active sessions.
    expired = (
        select(sessions.c.session_id)
        .where(sessions.c.expires_at < func.now() - DELETE_AFTER)
        .limit(MAX_DELETED_SESSIONS)
    )
    await connection.execute(delete(sessions).where(sessions.c.session_id.in_(expired)))
    session_id = str(uuid.uuid4())
    await connection.execute(
        insert(sessions).values(
            session_id=session_id,
            account_id=account_id,
            expires_at=func.now() + policy.lifetime,
            last_used_at=func.clock_timestamp(),
            network=network,
        )
    )
    surplus = (
        select(sessions.c.session_id)
        .where(sessions.c.account_id == account_id, policy.active(), sessions.c.session_id != session_id)
        .order_by(sessions.c.last_used_at.desc(), sessions.c.session_id)
        .offset(policy.max_per_account - 1)
    )
    revoked = await _revoke(connection, sessions.c.session_id.in_(surplus), "too many sessions")
    return OpenedSession(session_id, await add_credential(connection, session_id), revoked)


async def add_refresh_token(connection: AsyncConnection, session_id: str) -> str:
    """Store a new refresh token of a session and return it."""
    token = secrets.token_urlsafe(32)
    await connection.execute(insert(refresh_tokens).values(digest=digest_credential(token), session_id=session_id))
    return token


async def add_cookie(connection: AsyncConnection, session_id: str) -> str:
    """Store the cookie of a browser's session and return it."""
    cookie = secrets.token_urlsafe(32)
    await connection.execute(
        update(sessions).where(sessions.c.session_id == session_id).values(cookie_digest=digest_credential(cookie))
    )
    return cookie


async def lock_refresh_token(connection: AsyncConnection, refresh_token: str) -> StoredRefreshToken | None:
    """Return a refresh token's row, locked until the transaction ends; None for an unknown token.

    The lock serialises concurrent exchanges of one token: only the first one sees it unused.
    """
    statement = (
        select(
            sessions.c.session_id,
            sessions.c.account_id,
            refresh_tokens.c.used_at.is_not(None).label("used"),
        )
        .join_from(refresh_tokens, sessions)
        .where(refresh_tokens.c.digest == digest_credential(refresh_token))
        .with_for_update(of=refresh_tokens)
    )
    row = (await connection.execute(statement)).one_or_none()
    return StoredRefreshToken(**row._mapping) if row else None


async def use_session(connection: AsyncConnection, session_id: str, policy: SessionPolicy) -> bool:
    """Record that a session is used, and lock it until the transaction ends; return whether it is active."""
    return await _use(connection, sessions.c.session_id == session_id, policy) is not None


async def use_cookie(connection: AsyncConnection, cookie: str, policy: SessionPolicy) -> tuple[str, int | None] | None:
    """Record that a browser's session is used; return the ids of session and account, None unless it is active."""
    return await _use(connection, sessions.c.cookie_digest == digest_credential(cookie), policy)


async def list_active_sessions(
    connection: AsyncConnection, account_id: int, policy: SessionPolicy
) -> Sequence[StoredSession]:
    """Return the active sessions of an account, the most recently used first."""
    statement = (
        select(
            sessions.c.session_id,
            sessions.c.created_at,
            sessions.c.last_used_at,
            sessions.c.expires_at,
            sessions.c.network,
        )
        .where(sessions.c.account_id == account_id, policy.active())
        .order_by(sessions.c.last_used_at.desc())
    )
    return [StoredSession(**row._mapping) for row in await connection.execute(statement)]


async def mark_refresh_token_used(connection: AsyncConnection, refresh_token: str) -> None:
    """Mark a refresh token as exchanged."""
    await connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.digest == digest_credential(refresh_token))
        .values(used_at=func.clock_timestamp())
    )


async def revoke_session(connection: AsyncConnection, session_id: str, reason: str) -> list[str]:
    """Revoke a session when the transaction commits; return the ids of the sessions revoked by this call."""
    return await _revoke(connection, sessions.c.session_id == session_id, reason)


async def revoke_session_of(connection: AsyncConnection, account_id: int, session_id: str, reason: str) -> list[str]:
    """Revoke a session if it belongs to an account; return its id if this call revoked it."""
    condition = and_(sessions.c.session_id == session_id, sessions.c.account_id == account_id)
    return await _revoke(connection, condition, reason)


async def revoke_account(connection: AsyncConnection, account_id: int, reason: str) -> list[str]:
    """Revoke every active session of an account when the transaction commits; return their ids."""
    condition = and_(sessions.c.account_id == account_id, sessions.c.expires_at > func.now())
    return await _revoke(connection, condition, reason)


async def _use(
    connection: AsyncConnection, condition: ColumnElement[bool], policy: SessionPolicy
) -> tuple[str, int | None] | None:
    used = await connection.execute(
        update(sessions)
        .where(condition, policy.active())
        .values(last_used_at=func.clock_timestamp())
        .returning(sessions.c.session_id, sessions.c.account_id)
    )
    row = used.one_or_none()
    return (row.session_id, row.account_id) if row else None


async def _revoke(connection: AsyncConnection, condition: ColumnElement[bool], reason: str) -> list[str]:
    revoked = await connection.scalars(
        update(sessions)
        .where(sessions.c.revoked_at.is_(None), condition)
        .values(revoked_at=func.clock_timestamp(), reason=reason)
        .returning(sessions.c.session_id)
    )
    session_ids = list(revoked)
    if not session_ids:
        return []
    # The statement, not pg_notify(): PUBLIC may have lost the right to execute that function (analyst_role).
    await connection.exec_driver_sql(f"notify {CHANNEL}")
    return session_ids
