"""Accounts: registering, logging in, refreshing, changing passwords and roles."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_service.auth import sessions
from logitrack_service.auth.audit import audit
from logitrack_service.auth.guards import unauthorized
from logitrack_service.auth.passwords import Passwords, policy_violation
from logitrack_service.auth.throttle import (
    LOGIN_ACCOUNT,
    LOGIN_ADDRESS,
    REGISTER_ADDRESS,
    count_attempt,
    network_of,
    refund,
    reset,
)
from logitrack_service.auth.tokens import Identity
from logitrack_service.http.problems import FieldProblem, problem

WRONG_LOGIN = "The username or the password is wrong."


@dataclass(frozen=True)
class Account:
    """A row of service.accounts, as far as anybody needs it."""

    account_id: int
    username: str
    role: str
    password_hash: str
    created_at: object


@dataclass(frozen=True)
class Login:
    """A session that has just been opened or renewed."""

    account: Account
    session_id: str
    refresh_token: str


class Accounts:
    """Everything that is done with accounts, each in one transaction."""

    def __init__(
        self, engine: AsyncEngine, passwords: Passwords, revocations: sessions.Revocations, *, refresh_days: int
    ) -> None:
        self._engine, self._passwords, self._revocations = engine, passwords, revocations
        self._refresh_days = refresh_days

    async def register(self, username: str, password: str, *, address: str) -> Account:
        """A new account with the role user.

        Raises:
            HTTPException: 422 for a weak password, 409 for a name that is taken, 429 for too many from one address.
        """
        _refuse_weak(password, username)
        async with self._engine.begin() as connection:
            await count_attempt(connection, REGISTER_ADDRESS, network_of(address))
        return await self._create(username, password, role="user", address=address)

    async def _create(self, username: str, password: str, *, role: str, address: str | None) -> Account:
        password_hash = await self._passwords.hash(password)
        try:
            async with self._engine.begin() as connection:
                row = await connection.execute(
                    text(
                        "insert into service.accounts (username, password_hash, role)"
                        " values (:username, :hash, :role) returning *"
                    ),
                    {"username": username, "hash": password_hash, "role": role},
                )
                account = _account(row.one())
                await audit(
                    connection,
                    "account_registered",
                    account_id=account.account_id,
                    username=username,
                    address=address,
                    role=role,
                )
                return account
        except IntegrityError:
            raise problem(409, "This username is taken.") from None

    async def create_admin(self, username: str, password: str) -> Account:
        """An account with the role admin, for the command line."""
        _refuse_weak(password, username)
        return await self._create(username, password, role="admin", address=None)

    async def login(self, username: str, password: str, *, address: str) -> Login:
        """A new session.

        Raises:
            HTTPException: 401 with one and the same answer for an unknown user and a wrong password, after the same
                work; 429 for too many attempts on the account or from the address.
        """
        subject, network = username.lower(), network_of(address)
        async with self._engine.begin() as connection:
            await count_attempt(connection, LOGIN_ADDRESS, network)
        async with self._engine.begin() as connection:
            await count_attempt(connection, LOGIN_ACCOUNT, subject)
            account = await self._by_name(connection, username)
        right = await self._passwords.verify(account.password_hash if account else None, password)
        async with self._engine.begin() as connection:
            if account is None or not right:
                await audit(connection, "login_failed", username=username, address=address)
            else:
                await reset(connection, LOGIN_ACCOUNT, subject)
                await refund(connection, LOGIN_ADDRESS, network)
                session_id, refresh_token = await sessions.open_session(
                    connection, account.account_id, days=self._refresh_days
                )
                await audit(
                    connection,
                    "login",
                    account_id=account.account_id,
                    username=account.username,
                    address=address,
                    session_id=session_id,
                )
        if account is None or not right:
            raise unauthorized(WRONG_LOGIN, challenge="Bearer")
        if self._passwords.outdated(account.password_hash):
            await self._rehash(account, password)
        return Login(account, session_id, refresh_token)

    async def refresh(self, refresh_token: str, *, address: str) -> Login:
        """The next pair of tokens of a session; the token given is spent.

        A token that comes a second time has been stolen, from or by whoever used it first: the session ends for both
        (RFC 9700, 4.14.2).

        Raises:
            HTTPException: 401 for a token that is unknown, spent, expired or revoked.
        """
        digest = sessions.digest_of(refresh_token)
        stolen: list[str] = []
        login: Login | None = None
        async with self._engine.begin() as connection:
            found = (
                await connection.execute(
                    text(
                        """
                        update service.refresh_tokens t set used_at = coalesce(t.used_at, clock_timestamp())
                        from service.sessions s, service.accounts a,
                             (select digest, used_at from service.refresh_tokens where digest = :digest for update) old
                        where t.digest = old.digest and s.session_id = t.session_id and a.account_id = s.account_id
                        returning old.used_at is not null as reused,
                                  s.revoked_at is null and s.expires_at > now() as alive,
                                  s.session_id::text, a.*
                        """
                    ),
                    {"digest": digest},
                )
            ).one_or_none()
            if found is not None and found.alive and found.reused:
                stolen = await sessions.revoke_session(connection, found.session_id, "refresh token reused")
                await audit(
                    connection,
                    "refresh_token_reused",
                    account_id=found.account_id,
                    username=found.username,
                    address=address,
                    session_id=found.session_id,
                )
            elif found is not None and found.alive:
                token = await sessions.add_refresh_token(connection, found.session_id)
                login = Login(_account(found), found.session_id, token)
        if stolen:
            await self._revocations.wait_propagated(stolen)
        if login is None:
            raise unauthorized("This refresh token is not valid or has been used.")
        return login

    async def logout(self, identity: Identity, *, everywhere: bool, address: str) -> None:
        """Ends the session that asks, or all of its account."""
        async with self._engine.begin() as connection:
            if everywhere:
                ended = await sessions.revoke_account(connection, identity.account_id, "logout everywhere")
            else:
                ended = await sessions.revoke_session(connection, identity.session_id, "logout")
            await audit(
                connection,
                "logout",
                account_id=identity.account_id,
                username=identity.username,
                address=address,
                sessions=len(ended),
            )
        await self._revocations.wait_propagated(ended)

    async def change_password(self, identity: Identity, current: str, new: str, *, address: str) -> None:
        """A new password; every session of the account ends.

        Raises:
            HTTPException: 403 for a wrong current password, 422 for a weak new one, 429 for too many tries.
        """
        _refuse_weak(new, identity.username, field="new_password")
        async with self._engine.begin() as connection:
            await count_attempt(connection, LOGIN_ACCOUNT, identity.username.lower())
            account = await self._by_name(connection, identity.username)
        if account is None or not await self._passwords.verify(account.password_hash, current):
            raise problem(403, "The current password is wrong.")
        password_hash = await self._passwords.hash(new)
        async with self._engine.begin() as connection:
            await reset(connection, LOGIN_ACCOUNT, identity.username.lower())
            await connection.execute(
                text(
                    "update service.accounts set password_hash = :hash, password_changed_at = now()"
                    " where account_id = :account"
                ),
                {"hash": password_hash, "account": account.account_id},
            )
            ended = await sessions.revoke_account(connection, account.account_id, "password changed")
            await audit(
                connection,
                "password_changed",
                account_id=account.account_id,
                username=account.username,
                address=address,
            )
        await self._revocations.wait_propagated(ended)

    async def set_role(self, username: str, role: str, *, by: Identity, address: str) -> Account:
        """Another role for an account; its sessions end, for their tokens name the old role.

        Raises:
            HTTPException: 404 for an unknown account, 409 when the last admin would be gone.
        """
        async with self._engine.begin() as connection:
            # One change of roles at a time: two admins must not demote each other at once.
            await connection.execute(text("lock table service.accounts in share row exclusive mode"))
            account = await self._by_name(connection, username)
            if account is None:
                raise problem(404, "There is no such account.")
            admins = await connection.scalar(text("select count(*) from service.accounts where role = 'admin'"))
            if account.role == "admin" and role != "admin" and admins == 1:
                raise problem(409, "This is the last admin: make another one first.")
            await connection.execute(
                text("update service.accounts set role = :role where account_id = :account"),
                {"role": role, "account": account.account_id},
            )
            ended = []
            if account.role != role:
                ended = await sessions.revoke_account(connection, account.account_id, "role changed")
                await audit(
                    connection,
                    "role_changed",
                    account_id=account.account_id,
                    username=account.username,
                    address=address,
                    by=by.username,
                    before=account.role,
                    after=role,
                )
        if ended:
            await self._revocations.wait_propagated(ended)
        return Account(account.account_id, account.username, role, "", account.created_at)

    async def find(self, account_id: int) -> Account | None:
        """The account of an id."""
        async with self._engine.connect() as connection:
            row = await connection.execute(
                text("select * from service.accounts where account_id = :account"), {"account": account_id}
            )
            found = row.one_or_none()
            return _account(found) if found else None

    async def _by_name(self, connection, username: str) -> Account | None:
        row = await connection.execute(
            text("select * from service.accounts where lower(username) = lower(:username)"), {"username": username}
        )
        found = row.one_or_none()
        return _account(found) if found else None

    async def _rehash(self, account: Account, password: str) -> None:
        fresh = await self._passwords.hash(password)
        async with self._engine.begin() as connection:
            await connection.execute(
                text(
                    "update service.accounts set password_hash = :fresh"
                    " where account_id = :account and password_hash = :old"
                ),
                {"fresh": fresh, "account": account.account_id, "old": account.password_hash},
            )


def _refuse_weak(password: str, username: str, *, field: str = "password") -> None:
    if reason := policy_violation(password, username=username):
        raise problem(422, "Some values are not valid.", errors=[FieldProblem(field, reason)])


def _account(row) -> Account:
    return Account(row.account_id, row.username, row.role, row.password_hash, row.created_at)
