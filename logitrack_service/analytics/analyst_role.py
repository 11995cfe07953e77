"""The PostgreSQL role of analysts' own queries: it can read the views in `analytics` and nothing else.

PostgreSQL decides what a query may do, not an inspection of its text. The role's password is derived from the service's
key, so it is stored nowhere; where the service's login may not create roles, an administrator creates one and puts its
address into LOGITRACK_ANALYST_DATABASE_URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, column, func, select, table
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database import driver_url, with_login
from logitrack_service.analytics.function_privileges import revoke_functions
from logitrack_service.auth.keys import Keys
from logitrack_service.settings import ServiceSettings

ROLE = "logitrack_analyst"
MAX_CONNECTIONS = 32
ADMINISTRATOR_SETTINGS: Mapping[str, str] = {"temp_file_limit": "256MB"}  # for all temporary files of a session
"""Settings of the role that only a superuser may make."""

_ADVISORY_LOCK = 0x1061_7AC5  # an arbitrary key; no other lock of the project uses it
_roles = table("pg_roles", column("rolname"), schema="pg_catalog")

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
        return AnalystLogin(driver_url(settings.analyst_database_url.get_secret_value(), "psycopg"), None)
    password = keys.derive("analyst-password")
    return AnalystLogin(with_login(url, username=ROLE, password=password), password)


def role_settings(settings: ServiceSettings) -> dict[str, str]:
    """Return the PostgreSQL settings of analysts' sessions that need no special right."""
    return {
        "statement_timeout": f"{settings.query_seconds}s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
        "idle_session_timeout": "60s",
        "client_connection_check_interval": "1s",  # ends a query whose client is gone
        "client_min_messages": "error",
        "default_transaction_read_only": "on",
        "search_path": "analytics",
        "work_mem": "32MB",
        "hash_mem_multiplier": "1",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }


def prepare_analyst(engine: Engine, login: AnalystLogin, settings: ServiceSettings) -> None:
    """Create the role if it does not exist, grant it what it needs, and limit it; insufficient rights are logged."""
    password = login.password
    if password is None:
        return
    if not _attempt(
        engine,
        lambda connection: _create_role(connection, password, settings),
        "analyst_role_not_created",
        hint="let the service's login create roles, or set LOGITRACK_ANALYST_DATABASE_URL",
    ):
        return
    hint = "a superuser has to do this: see 'Analysts' in docs/operations.md"
    _attempt(engine, _apply_administrator_settings, "analyst_limits_not_applied", hint=hint)
    _attempt(engine, _revoke_public_defaults, "public_defaults_not_revoked", hint=hint)


def _attempt(engine: Engine, action: Callable[[Connection], None], event: str, *, hint: str) -> bool:
    """Run an action in a transaction of its own; return whether the login's rights are sufficient."""
    try:
        with engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            action(connection)
    except ProgrammingError as error:
        log.warning(event, reason=str(error.orig).strip().splitlines()[0], hint=hint)
        return False
    return True


def _create_role(connection: Connection, password: str, settings: ServiceSettings) -> None:
    if connection.scalar(select(_roles.c.rolname).where(_roles.c.rolname == ROLE)) is None:
        connection.exec_driver_sql(f"create role {ROLE}")
    assert password.isalnum()  # DDL takes no bound parameters; the derived password is hexadecimal
    for statement in (
        f"alter role {ROLE} login noinherit connection limit {MAX_CONNECTIONS} password '{password}'",
        *(f"alter role {ROLE} set {name} = '{value}'" for name, value in role_settings(settings).items()),
        f"grant connect on database {_quoted_database(connection)} to {ROLE}",
        f"grant usage on schema analytics to {ROLE}",
        f"grant select on all tables in schema analytics to {ROLE}",
        f"grant execute on all functions in schema analytics to {ROLE}",
    ):
        connection.exec_driver_sql(statement)


def _apply_administrator_settings(connection: Connection) -> None:
    for name, value in ADMINISTRATOR_SETTINGS.items():
        connection.exec_driver_sql(f"alter role {ROLE} set {name} = '{value}'")


def _revoke_public_defaults(connection: Connection) -> None:
    """Revoke what PUBLIC may do in a new database besides reading: temporary tables, for example, fill the disk."""
    connection.exec_driver_sql(f"revoke temporary, create on database {_quoted_database(connection)} from public")
    connection.exec_driver_sql("revoke create on schema public from public")
    revoke_functions(connection, ROLE)


def _quoted_database(connection: Connection) -> str:
    return str(connection.scalar(select(func.quote_ident(func.current_database()))))
