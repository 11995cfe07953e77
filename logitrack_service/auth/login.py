"""Logins: password login, token refresh and logout."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from logitrack_assets.database import tables
from logitrack_service.auth.accounts import Account, find_by_username, lock_account
from logitrack_service.auth.audit import audit
from logitrack_service.auth.login_attempts import (
    LoginAttempt,
    accept_login_attempt,
    count_login_attempt,
    withdraw_login_attempt,
)
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.sessions import (
    AddCredential,
    SessionPolicy,
    add_refresh_token,
    lock_refresh_token,
    mark_refresh_token_used,
    open_session,
    revoke_account,
    revoke_session,
    use_session,
)
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import AuthenticationError, UnavailableError
from logitrack_service.http.addresses import network_of

MAX_VERIFICATIONS = 3  # per login; a second one only if the password's hash changed during the first


@dataclass(frozen=True)
class Login:
    """A session that was opened or renewed.

    Attributes:
        credential: Its next refresh token, or the cookie of a browser.
        revoked: Sessions that were revoked because the account had too many.
    """

    account: Account
    session_id: str
    credential: str
    revoked: list[str] = field(default_factory=list)


class LoginService:
    """Opens, renews and ends sessions."""

    def __init__(
        self, engine: AsyncEngine, passwords: Passwords, revocations: Revocations, policy: SessionPolicy
    ) -> None:
        self._engine, self._passwords, self._revocations = engine, passwords, revocations
        self._policy = policy

    async def login(
        self, username: str, password: str, *, address: str, add_credential: AddCredential = add_refresh_token
    ) -> Login:
        """Open a session.

        Args:
            username: Name of the account.
            password: The password to verify.
            address: Address of the client.
            add_credential: Creates the session's credential.

        Raises:
            AuthenticationError: The username or the password is wrong (message and time are the same for both), or the
                account is disabled.
            RateLimitedError: Too many attempts; see `login_attempts`.
        """
        async with self._engine.begin() as connection:
            attempt = await count_login_attempt(connection, username, network_of(address))
            account = await find_by_username(connection, username)
        try:
            login = await self._verify_and_open(account, password, attempt, add_credential, address=address)
        except UnavailableError:
            async with self._engine.begin() as connection:
                await withdraw_login_attempt(connection, attempt)
            raise
        except AuthenticationError:
            async with self._engine.begin() as connection:
                await audit(connection, "login_failed", username=username, address=address)
            raise
        await self._revocations.wait_propagated(login.revoked)
        if self._passwords.needs_rehash(login.account.password_hash):
            await self._rehash(login.account, password)
        return login

    async def _verify_and_open(
        self,
        account: Account | None,
        password: str,
        attempt: LoginAttempt,
        add_credential: AddCredential,
        *,
        address: str,
    ) -> Login:
        """Verify a password and open a session.

        Verification takes long and runs without a transaction, so the account is read again, under a lock, before the
        session is opened. If its hash has changed meanwhile, the new one is verified.

        Raises:
            AuthenticationError: The password is wrong, or the account is disabled.
        """
        for _ in range(MAX_VERIFICATIONS):
            verified = await self._passwords.verify(account.password_hash if account else None, password)
            if account is None or not verified:
                break
            async with self._engine.begin() as connection:
                current = await lock_account(connection, account.account_id)
                if current is not None and current.password_hash == account.password_hash:
                    return await self._open(connection, current, attempt, add_credential, address=address)
            account = current
        raise AuthenticationError("The username or the password is wrong.", challenge="Bearer")

    async def _open(
        self,
        connection: AsyncConnection,
        account: Account,
        attempt: LoginAttempt,
        add_credential: AddCredential,
        *,
        address: str,
    ) -> Login:
        """Open a session of an account that is locked.

        Raises:
            AuthenticationError: The account is disabled; only who has its password learns that.
        """
        if account.disabled_at is not None:
            raise AuthenticationError("This account is disabled; an admin can enable it.", challenge="Bearer")
        await accept_login_attempt(connection, attempt, account.account_id)
        opened = await open_session(
            connection,
            account.account_id,
            network=attempt.network,
            policy=self._policy,
            add_credential=add_credential,
        )
        await audit(
            connection,
            "login",
            account_id=account.account_id,
            username=account.username,
            address=address,
            session_id=opened.session_id,
        )
        return Login(account, opened.session_id, opened.credential, revoked=opened.revoked)

    async def refresh(self, refresh_token: str, *, address: str) -> Login:
        """Exchange a refresh token for the next one of its session.

        A token that is presented twice has been stolen; which of the two parties is the thief cannot be decided, so
        the session is revoked for both (RFC 9700, 4.14.2).

        Raises:
            AuthenticationError: The token is unknown, used, expired or revoked.
        """
        async with self._engine.begin() as connection:
            login, revoked = await self._exchange(connection, refresh_token, address)
        if revoked:
            await self._revocations.wait_propagated(revoked)
        if login is None:
            raise AuthenticationError("This refresh token is invalid or has been used.")
        return login

    async def _exchange(
        self, connection: AsyncConnection, refresh_token: str, address: str
    ) -> tuple[Login | None, list[str]]:
        """Return the renewed login, or None, and the sessions that were revoked because the token was reused."""
        stored = await lock_refresh_token(connection, refresh_token)
        if stored is None or stored.account_id is None:
            return None, []
        account = await lock_account(connection, stored.account_id)
        if account is None or not await use_session(connection, stored.session_id, self._policy):
            return None, []
        if not stored.used:
            await mark_refresh_token_used(connection, refresh_token)
            return Login(account, stored.session_id, await add_refresh_token(connection, stored.session_id)), []
        revoked = await revoke_session(connection, stored.session_id, "refresh token reused")
        await audit(
            connection,
            "refresh_token_reused",
            account_id=account.account_id,
            username=account.username,
            address=address,
            session_id=stored.session_id,
        )
        return None, revoked

    async def logout(self, identity: Identity, *, everywhere: bool, address: str) -> None:
        """End the caller's session or, with `everywhere`, all sessions of the account."""
        async with self._engine.begin() as connection:
            if everywhere:
                revoked = await revoke_account(connection, identity.account_id, "logout everywhere")
            else:
                revoked = await revoke_session(connection, identity.session_id, "logout")
            await audit(
                connection,
                "logout",
                account_id=identity.account_id,
                username=identity.username,
                address=address,
                sessions=len(revoked),
            )
        await self._revocations.wait_propagated(revoked)

    async def _rehash(self, account: Account, password: str) -> None:
        """Store the password's hash with the current parameters, unless the password has changed meanwhile."""
        password_hash = await self._passwords.hash(password)
        accounts = tables.accounts
        async with self._engine.begin() as connection:
            await connection.execute(
                update(accounts)
                .where(accounts.c.account_id == account.account_id, accounts.c.password_hash == account.password_hash)
                .values(password_hash=password_hash)
            )
