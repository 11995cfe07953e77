"""The PostgreSQL role of analysts' own queries: it can read the views in `analytics` and nothing else.

PostgreSQL decides what a query may do, not an inspection of its text. The role's password is derived from the service's
key, so it is stored nowhere; where the service's login may not create roles, `logitrack database migrate` creates
this one, and LOGITRACK_ANALYST_DATABASE_URL has its address.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database import driver_url, with_login, with_password
from logitrack_assets.database.roles import ANALYST_ROLE, create_analyst_role, revoke_public_defaults
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


def prepare_analyst(engine: Engine, login: AnalystLogin) -> None:
    """Create the role if it does not exist, and grant it what it needs; insufficient rights are logged."""
    if login.password is None:
        return
    try:
        with engine.begin() as connection:
            notes = create_analyst_role(connection, login.password)
    except ProgrammingError as error:
        log.warning(
            "analyst_role_not_created",
            reason=_first_line(error),
            hint="run `logitrack database migrate` and set LOGITRACK_ANALYST_DATABASE_URL",
        )
        return
    for note in notes:
        log.warning("analyst_role_without_limit", reason=note)
    try:
        with engine.begin() as connection:
            revoke_public_defaults(connection)
    except ProgrammingError as error:
        log.warning("public_defaults_not_revoked", reason=_first_line(error))


def _first_line(error: ProgrammingError) -> str:
    return str(error.orig).strip().splitlines()[0]
