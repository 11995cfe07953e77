"""Administration of accounts: list, change, disable, delete. Each operation is one transaction with an audit event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.errors import InsufficientPrivilege, UndefinedObject
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from logitrack_assets.database import tables
from logitrack_assets.database.roles import analyst_role_name, create_analyst_login, drop_analyst_login
from logitrack_service.auth.accounts import ACCOUNT_COLUMNS, Account, find_by_username, lock_account
from logitrack_service.auth.audit import audit
from logitrack_service.auth.passwords import Passwords, require_acceptable_password
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.roles import Role, includes_role
from logitrack_service.auth.sessions import revoke_account
from logitrack_service.auth.usernames import normalize_username
from logitrack_service.errors import ConflictError, NotFoundError

_table = tables.accounts


@dataclass(frozen=True)
class Actor:
    """Who changes an account, for the audit. The address is None on the command line."""

    username: str
    address: str | None


@dataclass(frozen=True)
class DatabaseLogin:
    """An analyst's own PostgreSQL login with its new password, which is stored nowhere."""

    role: str
    password: str


class AccountAdministration:
    """Changes of accounts that only admins may make. Every change of what an account may do ends its sessions."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords, revocations: Revocations) -> None:
        self._engine, self._passwords, self._revocations = engine, passwords, revocations

    async def list_accounts(self, *, after: str | None = None, limit: int) -> Sequence[Account]:
        """Return up to `limit` accounts in the order of their normal forms, those after a username."""
        statement = select(*ACCOUNT_COLUMNS).order_by(_table.c.normalized_username).limit(limit)
        if after is not None:
            statement = statement.where(_table.c.normalized_username > normalize_username(after))
        async with self._engine.connect() as connection:
            return [Account(**row._mapping) for row in await connection.execute(statement)]

    async def set_role(self, username: str, role: Role, *, actor: Actor) -> Account:
        """Change an account's role and revoke its sessions, whose tokens carry the previous role.

        Raises:
            NotFoundError: The account does not exist.
            ConflictError: The account is the last admin and would lose that role.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            if account.role == role:
                return account
            await _require_another_admin(connection, account)
            if not includes_role(role, "analyst"):
                await _drop_database_login(connection, account)
            changed = await _update(connection, account, role=role)
            revoked = await revoke_account(connection, account.account_id, "role changed")
            await _audit(connection, "role_changed", account, actor, before=account.role, after=role)
        await self._revocations.wait_propagated(revoked)
        return changed

    async def set_vouched(self, username: str, vouched: bool, *, actor: Actor) -> Account:
        """Record whether an admin answers for the outcomes that an account reports; its sessions go on.

        Raises:
            NotFoundError: The account does not exist.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            if account.vouched == vouched:
                return account
            changed = await _update(connection, account, vouched=vouched)
            await _audit(connection, "account_vouched" if vouched else "account_unvouched", account, actor)
            return changed

    async def set_disabled(self, username: str, disabled: bool, *, actor: Actor) -> Account:
        """Disable an account and revoke its sessions, or enable it again.

        Raises:
            NotFoundError: The account does not exist.
            ConflictError: The account is the last admin and would be disabled.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            if (account.disabled_at is not None) == disabled:
                return account
            if disabled:
                await _require_another_admin(connection, account)
                await _drop_database_login(connection, account)
            changed = await _update(connection, account, disabled_at=func.now() if disabled else None)
            revoked = await revoke_account(connection, account.account_id, "account disabled") if disabled else []
            await _audit(connection, "account_disabled" if disabled else "account_enabled", account, actor)
        await self._revocations.wait_propagated(revoked)
        return changed

    async def set_password(self, username: str, password: str, *, actor: Actor, field: str = "password") -> None:
        """Replace an account's password and revoke its sessions.

        Raises:
            InvalidFieldsError: The password violates the policy; `field` names it in the request.
            NotFoundError: The account does not exist.
        """
        require_acceptable_password(password, username=username, field=field)
        password_hash = await self._passwords.hash(password)
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            await _update(connection, account, password_hash=password_hash, password_changed_at=func.now())
            revoked = await revoke_account(connection, account.account_id, "password set by an admin")
            await _audit(connection, "password_set", account, actor)
        await self._revocations.wait_propagated(revoked)

    async def delete(self, username: str, *, actor: Actor) -> None:
        """Delete an account with its known networks, and revoke its sessions.

        Predictions and outcomes keep the account's id, which is never given again, and audit events its name.

        Raises:
            NotFoundError: The account does not exist.
            ConflictError: The account is the last admin.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            await _require_another_admin(connection, account)
            await _drop_database_login(connection, account)
            # Revoked sessions stay without an account until workers need not refuse their tokens any more.
            revoked = await revoke_account(connection, account.account_id, "account deleted")
            await connection.execute(delete(_table).where(_table.c.account_id == account.account_id))
            await _audit(connection, "account_deleted", account, actor)
        await self._revocations.wait_propagated(revoked)

    async def create_database_login(self, username: str, *, actor: Actor) -> DatabaseLogin:
        """Create an analyst's own PostgreSQL login, or give it a new password.

        Raises:
            NotFoundError: The account does not exist.
            ConflictError: The account is no enabled analyst, or this process may not create roles.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            if account.disabled_at is not None or not includes_role(account.role, "analyst"):
                raise ConflictError(f"{account.username} is not an enabled account with the role analyst or admin.")
            with _refusal_as_conflict():
                password = await connection.run_sync(create_analyst_login, account.username)
            await _audit(connection, "database_login_created", account, actor)
        return DatabaseLogin(analyst_role_name(account.username), password)

    async def drop_database_login(self, username: str, *, actor: Actor) -> None:
        """Drop an analyst's own PostgreSQL login and end its connections.

        Raises:
            NotFoundError: The account or its login does not exist.
            ConflictError: This process may not drop roles.
        """
        async with self._engine.begin() as connection:
            account = await _lock_for_change(connection, username)
            if not await _drop_database_login(connection, account):
                raise NotFoundError("This account has no login of its own.")
            await _audit(connection, "database_login_dropped", account, actor)


async def _drop_database_login(connection: AsyncConnection, account: Account) -> bool:
    with _refusal_as_conflict():
        return await connection.run_sync(drop_analyst_login, account.username)


@contextmanager
def _refusal_as_conflict() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.orig, (InsufficientPrivilege, UndefinedObject)):
            raise
        raise ConflictError(
            "This login of PostgreSQL may not create or drop roles, or the analysts' role does not exist.",
            hint="Run `logitrack analyst-url` with the address of an administrator (LOGITRACK_DATABASE_URL).",
        ) from None


async def _lock_for_change(connection: AsyncConnection, username: str) -> Account:
    # Serialises changes by admins: two of them must not demote or delete each other at once.
    admins = select(_table.c.account_id).where(_table.c.role == "admin").order_by(_table.c.account_id)
    await connection.execute(admins.with_for_update(key_share=True))
    found = await find_by_username(connection, username)
    account = await lock_account(connection, found.account_id) if found else None
    if account is None:
        raise NotFoundError("This account does not exist.")
    return account


async def _require_another_admin(connection: AsyncConnection, account: Account) -> None:
    """Refuse a change that would leave no enabled admin.

    Raises:
        ConflictError: The account is the last enabled admin.
    """
    if account.role != "admin" or account.disabled_at is not None:
        return
    others = (_table.c.role == "admin", _table.c.disabled_at.is_(None), _table.c.account_id != account.account_id)
    if await connection.scalar(select(func.count()).select_from(_table).where(*others)) == 0:
        raise ConflictError("This is the last admin.", hint="Give another account the role admin first.")


async def _update(connection: AsyncConnection, account: Account, **values: Any) -> Account:
    statement = update(_table).where(_table.c.account_id == account.account_id).values(**values)
    row = (await connection.execute(statement.returning(*ACCOUNT_COLUMNS))).one()
    return Account(**row._mapping)


async def _audit(connection: AsyncConnection, event: str, account: Account, actor: Actor, **detail: str | int) -> None:
    await audit(
        connection,
        event,
        account_id=account.account_id,
        username=account.username,
        address=actor.address,
        by=actor.username,
        **detail,
    )
