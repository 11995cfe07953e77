"""The PostgreSQL role of analysts' own queries: it can read the views in `analytics` and nothing else.

PostgreSQL decides what a query may do, not an inspection of its text. The role's password is derived from the service's
key, so it is stored nowhere; where the service's login may not create roles, `logitrack database migrate` creates
this one, and LOGITRACK_ANALYST_DATABASE_URL has its address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database import driver_url, with_login, with_password
from logitrack_assets.database.roles import (
    ANALYST_ROLE,
    analyst_settings,
    create_analyst_role,
    revoke_public_defaults,
)
from logitrack_service.auth.keys import Keys
from logitrack_service.settings import ServiceSettings

log = structlog.get_logger("logitrack.service")


@dataclass(frozen=True)
class AnalystLogin:
    """The login of analysts' queries.

    Attributes:
        url: SQLAlchemy URL.
        password: Password that the service sets for the role; None if an administrator created the role.
    """

    url: str
    password: str | None


def analyst_login(url: str, keys: Keys, settings: ServiceSettings) -> AnalystLogin:
    """Return the analysts' login for the database at `url`.

    Raises:
        DatabaseError: LOGITRACK_ANALYST_DATABASE_URL is not a PostgreSQL URL.
    """
    if settings.analyst_database_url is not None:
        url_of_role = driver_url(settings.analyst_database_url.get_secret_value(), "psycopg")
        return AnalystLogin(with_password(url_of_role, settings.analyst_database_password), None)
    password = keys.derive("analyst-password")
    return AnalystLogin(with_login(url, username=ANALYST_ROLE, password=password), password)


def session_settings(settings: ServiceSettings) -> dict[str, str]:
    """Return the settings of analysts' sessions that need no special right; the role has the same ones."""
    return analyst_settings(settings.query_seconds)


def prepare_analyst(engine: Engine, login: AnalystLogin, settings: ServiceSettings) -> None:
    """Create the role if it does not exist, grant it what it needs, and limit it; insufficient rights are logged."""
    password = login.password
    if password is None:
        return

    def create(connection: Connection) -> None:
        for note in create_analyst_role(connection, password, query_seconds=settings.query_seconds):
            log.warning("analyst_role_without_limit", reason=note)

    if _attempt(
        engine,
        create,
        "analyst_role_not_created",
        hint="run `logitrack database migrate` and set LOGITRACK_ANALYST_DATABASE_URL",
    ):
        hint = "a superuser has to do this: see 'Analysts' in docs/operations.md"
        _attempt(engine, revoke_public_defaults, "public_defaults_not_revoked", hint=hint)


def _attempt(engine: Engine, action: Callable[[Connection], None], event: str, *, hint: str) -> bool:
    """Run an action in a transaction of its own; return whether the login's rights are sufficient."""
    try:
        with engine.begin() as connection:
            action(connection)
    except ProgrammingError as error:
        log.warning(event, reason=str(error.orig).strip().splitlines()[0], hint=hint)
        return False
    return True
