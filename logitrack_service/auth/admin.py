"""Creation of the first admin from the command line; registration over HTTP never grants that role."""

from __future__ import annotations

import asyncio

from logitrack_assets.database import database_url, migrate, psycopg_dsn
from logitrack_assets.settings import Settings
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.revocations import Revocations
from logitrack_service.database import connect
from logitrack_service.errors import InvalidFieldsError, InvalidRequestError
from logitrack_service.settings import ServiceSettings, get_service_settings


def create_admin(
    settings: Settings, username: str, password: str, *, service_settings: ServiceSettings | None = None
) -> None:
    """Create an account with the role admin.

    Raises:
        ConflictError: The username is taken.
        InvalidRequestError: The username or the password is not acceptable.
    """
    url = database_url(settings)
    migrate(url)
    asyncio.run(_create(url, username, password, service_settings or get_service_settings()))


async def _create(url: str, username: str, password: str, service_settings: ServiceSettings) -> None:
    engine, passwords = connect(url), Passwords(service_settings)
    try:
        accounts = Accounts(engine, passwords, Revocations(psycopg_dsn(url), token_seconds=0))
        await accounts.create_admin(username, password)
    except InvalidFieldsError as error:  # on a terminal, the reasons without the names of JSON fields
        raise InvalidRequestError(" ".join(field.message for field in error.errors)) from None
    finally:
        passwords.close()
        await engine.dispose()
