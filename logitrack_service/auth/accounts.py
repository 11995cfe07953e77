"""Accounts: registration and look-up."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from logitrack_assets.database import tables
from logitrack_service.auth.audit import audit
from logitrack_service.auth.login_attempts import remember_network
from logitrack_service.auth.passwords import Passwords, require_acceptable_password
from logitrack_service.auth.roles import Role
from logitrack_service.auth.throttle import REGISTRATION, TAKEN_NAME_COST, count_attempt
from logitrack_service.auth.usernames import normalize_username, require_valid_username
from logitrack_service.errors import ConflictError, RateLimitedError
from logitrack_service.http.addresses import network_of

_table = tables.accounts
ACCOUNT_COLUMNS = (
    _table.c.account_id,
    _table.c.username,
    _table.c.role,
    _table.c.password_hash,
    _table.c.created_at,
    _table.c.disabled_at,
    _table.c.vouched,
)


@dataclass(frozen=True)
class Account:
    """A row of `service.accounts`.

    Attributes:
        disabled_at: When the account was disabled; None for an enabled one.
        vouched: An admin answers for the outcomes that the account reports.
    """

    account_id: int
    username: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled_at: datetime | None
    vouched: bool


async def find_by_id(connection: AsyncConnection, account_id: int) -> Account | None:
    """Return an account by its id; None if it does not exist."""
    return await _find(connection, _table.c.account_id == account_id)


async def lock_account(connection: AsyncConnection, account_id: int) -> Account | None:
    """Return the current state of an account and lock it until the transaction ends; None if it does not exist.

    Sessions are opened and renewed under this lock. A change of the password or the role updates the row and then
    revokes the account's sessions, so it revokes a session that was opened before it and is seen by one opened after.
    """
    statement = select(*ACCOUNT_COLUMNS).where(_table.c.account_id == account_id).with_for_update(key_share=True)
    row = (await connection.execute(statement)).one_or_none()
    return Account(**row._mapping) if row else None


async def find_by_username(connection: AsyncConnection, username: str) -> Account | None:
    """Return an account by the normal form of its username; None if it does not exist."""
    return await _find(connection, _table.c.normalized_username == normalize_username(username))


async def _find(connection: AsyncConnection, condition: ColumnElement[bool]) -> Account | None:
    row = (await connection.execute(select(*ACCOUNT_COLUMNS).where(condition))).one_or_none()
    return Account(**row._mapping) if row else None


class Accounts:
    """Creates accounts and finds them."""

    def __init__(self, engine: AsyncEngine, passwords: Passwords) -> None:
        self._engine, self._passwords = engine, passwords

    async def register(self, username: str, password: str, *, address: str) -> Account:
        """Create an account with the role user.

        Whether a name is taken cannot be hidden from whoever chooses one. The password is hashed in either case, so
        time reveals no more than the answer, and the limit of a network allows about ten such answers.

        Raises:
            InvalidFieldsError: The username is outside the alphabet, or the password violates the policy.
            ConflictError: The username is taken.
            RateLimitedError: Too many registrations from the address's network.
        """
        require_valid_username(username)
        await asyncio.to_thread(require_acceptable_password, password, username=username)
        async with self._engine.begin() as connection:
            await count_attempt(connection, REGISTRATION, network_of(address))
        try:
            return await self._create(username, password, role="user", address=address)
        except ConflictError:
            with contextlib.suppress(RateLimitedError):  # a network that is blocked already needs no further count
                async with self._engine.begin() as connection:
                    await count_attempt(connection, REGISTRATION, network_of(address), cost=TAKEN_NAME_COST - 1)
            raise

    async def create_admin(self, username: str, password: str) -> Account:
        """Create an account with the role admin.

        Raises:
            InvalidFieldsError: The username is outside the alphabet, or the password violates the policy.
            ConflictError: The username is taken.
        """
        require_valid_username(username)
        await asyncio.to_thread(require_acceptable_password, password, username=username)
        return await self._create(username, password, role="admin", address=None)

    async def find(self, account_id: int) -> Account | None:
        """Return an account by its id; None if it does not exist."""
        async with self._engine.connect() as connection:
            return await find_by_id(connection, account_id)

    async def _create(self, username: str, password: str, *, role: Role, address: str | None) -> Account:
        password_hash = await self._passwords.hash(password)
        statement = insert(_table).values(
            username=username,
            normalized_username=normalize_username(username),
            password_hash=password_hash,
            role=role,
        )
        try:
            async with self._engine.begin() as connection:
                account = Account(**(await connection.execute(statement.returning(*ACCOUNT_COLUMNS))).one()._mapping)
                await audit(
                    connection,
                    "account_registered",
                    account_id=account.account_id,
                    username=username,
                    address=address,
                    role=role,
                )
                if address is not None:
                    await remember_network(connection, account.account_id, network_of(address))
                return account
        except IntegrityError:
            raise ConflictError("This username is taken.") from None
