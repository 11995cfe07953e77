"""List and end sessions, by their owner and by admins."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_service.auth.accounts import find_by_username
from logitrack_service.auth.administration import Actor
from logitrack_service.auth.audit import audit
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.sessions import (
    SessionPolicy,
    StoredSession,
    list_active_sessions,
    revoke_account,
    revoke_session_of,
)
from logitrack_service.errors import NotFoundError


class SessionControl:
    """Lists the sessions of an account and ends them."""

    def __init__(self, engine: AsyncEngine, revocations: Revocations, policy: SessionPolicy) -> None:
        self._engine, self._revocations, self._policy = engine, revocations, policy

    async def account_id(self, username: str) -> int:
        """Return the id of an account.

        Raises:
            NotFoundError: The account does not exist.
        """
        async with self._engine.connect() as connection:
            account = await find_by_username(connection, username)
        if account is None:
            raise NotFoundError("This account does not exist.")
        return account.account_id

    async def list_sessions(self, account_id: int) -> Sequence[StoredSession]:
        """Return the active sessions of an account, the most recently used first."""
        async with self._engine.connect() as connection:
            return await list_active_sessions(connection, account_id, self._policy)

    async def end_session(self, account_id: int, session_id: str, *, actor: Actor) -> None:
        """End one session of an account.

        Raises:
            NotFoundError: The account has no such open session.
        """
        async with self._engine.begin() as connection:
            revoked = await revoke_session_of(connection, account_id, session_id, "ended by its owner or an admin")
            if not revoked:
                raise NotFoundError("This account has no such session.")
            await audit(
                connection,
                "session_ended",
                account_id=account_id,
                address=actor.address,
                by=actor.username,
                session_id=session_id,
            )
        await self._revocations.wait_propagated(revoked)

    async def end_sessions(self, account_id: int, *, actor: Actor) -> int:
        """End every session of an account; return how many were open."""
        async with self._engine.begin() as connection:
            revoked = await revoke_account(connection, account_id, "ended by an admin")
            await audit(
                connection,
                "sessions_ended",
                account_id=account_id,
                address=actor.address,
                by=actor.username,
                sessions=len(revoked),
            )
        await self._revocations.wait_propagated(revoked)
        return len(revoked)
