"""Change of an account's own password."""

from __future__ import annotations

import asyncio

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import accounts
from logitrack_service.auth.accounts import find_by_username, lock_account
from logitrack_service.auth.audit import audit
from logitrack_service.auth.passwords import Passwords, require_acceptable_password
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.sessions import revoke_account
from logitrack_service.auth.throttle import PASSWORD_CHANGE, count_attempt, reset
from logitrack_service.auth.tokens import Identity
from logitrack_service.auth.usernames import normalize_username
from logitrack_service.errors import PermissionDeniedError


class PasswordChanger:
    """Changes passwords and revokes the sessions that were opened with the previous one."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords, revocations: Revocations) -> None:
        self._engine, self._passwords, self._revocations = engine, passwords, revocations

    async def change(self, identity: Identity, current: str, new: str, *, address: str) -> None:
        """Replace the caller's password and revoke every session of the account.

        Raises:
            InvalidFieldsError: The new password violates the policy.
            PermissionDeniedError: The current password is wrong.
            RateLimitedError: Too many attempts with the account's tokens.
        """
        await asyncio.to_thread(require_acceptable_password, new, username=identity.username, field="new_password")
        subject = normalize_username(identity.username)
        async with self._engine.begin() as connection:
            await count_attempt(connection, PASSWORD_CHANGE, subject)
            account = await find_by_username(connection, identity.username)
        if account is None or not await self._passwords.verify(account.password_hash, current):
            raise PermissionDeniedError("The current password is wrong.")
        password_hash = await self._passwords.hash(new)
        async with self._engine.begin() as connection:
            locked = await lock_account(connection, account.account_id)
            if locked is None or locked.password_hash != account.password_hash:
                raise PermissionDeniedError("The password has been changed by another request.")
            await reset(connection, PASSWORD_CHANGE, subject)
            await connection.execute(
                update(accounts)
                .where(accounts.c.account_id == account.account_id)
                .values(password_hash=password_hash, password_changed_at=func.now())
            )
            revoked = await revoke_account(connection, account.account_id, "password changed")
            await audit(
                connection,
                "password_changed",
                account_id=account.account_id,
                username=account.username,
                address=address,
            )
        await self._revocations.wait_propagated(revoked)
