"""The first admin, made from the command line: nobody becomes one by registering."""

from __future__ import annotations

import asyncio

from litestar.exceptions import HTTPException

from logitrack_assets.database import database_url, migrate
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.sessions import Revocations
from logitrack_service.database import connect, driver_dsn
from logitrack_service.settings import ServiceSettings, get_service_settings


class AccountError(LogitrackError):
    """The account cannot be made; the message is one sentence."""


def create_admin(
    settings: Settings, username: str, password: str, *, service_settings: ServiceSettings | None = None
) -> None:
    """Makes an account with the role admin.

    Raises:
        AccountError: the name is taken, or the password is too weak.
    """
    service_settings = service_settings or get_service_settings()
    url = database_url(settings)
    migrate(url)
    asyncio.run(_create(url, username, password, service_settings))


async def _create(url: str, username: str, password: str, service_settings: ServiceSettings) -> None:
    engine, passwords = connect(url), Passwords(service_settings)
    try:
        revocations = Revocations(driver_dsn(url), token_seconds=0)
        accounts = Accounts(engine, passwords, revocations, refresh_days=service_settings.refresh_token_days)
        await accounts.create_admin(username, password)
    except HTTPException as error:
        reasons = error.extra["errors"] if isinstance(error.extra, dict) else []
        raise AccountError(" ".join([wrong.message for wrong in reasons]) or error.detail) from None
    finally:
        passwords.close()
        await engine.dispose()
