"""Administration of accounts from the command line, by whoever may open the database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from logitrack_assets.database import database_url, migrate, psycopg_dsn
from logitrack_assets.settings import Settings
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.administration import AccountAdministration, Actor
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.revocations import Revocations
from logitrack_service.database import connect
from logitrack_service.errors import InvalidFieldsError, InvalidRequestError
from logitrack_service.settings import ServiceSettings, get_service_settings

OPERATOR = Actor("command line", None)  # a username contains no space

Result = TypeVar("Result")


def create_admin(
    settings: Settings, username: str, password: str, *, service_settings: ServiceSettings | None = None
) -> None:
    """Create an account with the role admin; registration over HTTP never grants that role.

    Raises:
        ConflictError: The username is taken.
        InvalidRequestError: The username or the password is not acceptable.
    """

    async def create(accounts: Accounts, _: AccountAdministration) -> None:
        await accounts.create_admin(username, password)

    _run(settings, service_settings, create)


def administer(
    settings: Settings,
    operation: Callable[[AccountAdministration], Awaitable[Result]],
    *,
    service_settings: ServiceSettings | None = None,
) -> Result:
    """Run an operation on accounts and return its result; running workers apply it at once.

    Raises:
        NotFoundError: The account does not exist.
        ConflictError: The account is the last admin.
        InvalidRequestError: The password is not acceptable.
    """
    return _run(settings, service_settings, lambda _, administration: operation(administration))


def _run(
    settings: Settings,
    service_settings: ServiceSettings | None,
    operation: Callable[[Accounts, AccountAdministration], Awaitable[Result]],
) -> Result:
    if not structlog.is_configured():  # the output of a command is its result; audit events go to the other stream
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    url = database_url(settings)
    migrate(url)

    async def run() -> Result:
        engine, passwords = connect(url), Passwords(service_settings or get_service_settings())
        revocations = Revocations(psycopg_dsn(url), token_seconds=0)
        await revocations.start()
        try:
            return await operation(Accounts(engine, passwords), AccountAdministration(engine, passwords, revocations))
        except InvalidFieldsError as error:  # on a terminal, the reasons without the names of JSON fields
            raise InvalidRequestError(" ".join(field.message for field in error.errors)) from None
        finally:
            await revocations.stop()
            passwords.close()
            await engine.dispose()

    return asyncio.run(run())
