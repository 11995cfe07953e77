"""The role that analysts' own queries run as: it can read the views in `analytics`, and nothing else.

What a query may do is decided by PostgreSQL, not by looking at its text. The password is derived from the service's
key, so nobody has to store one; where the service's own login may not make roles, an administrator makes this one and
gives its address in LOGITRACK_ANALYST_DATABASE_URL.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database import driver_url, with_login
from logitrack_service.auth.keys import Keys
from logitrack_service.settings import ServiceSettings

ROLE = "logitrack_analyst"
_LOCK = 0x1061_7AC5  # any number that only this preparation uses

log = structlog.get_logger("logitrack.service")


@dataclass(frozen=True)
class AnalystLogin:
    """How analysts' queries reach PostgreSQL."""

    url: str
    """SQLAlchemy's."""
    password: str | None
    """The password to give the role; None when an administrator made it."""


def analyst_login(url: str, keys: Keys, settings: ServiceSettings) -> AnalystLogin:
    """The analysts' login for the database at `url`."""
    if settings.analyst_database_url is not None:
        return AnalystLogin(driver_url(settings.analyst_database_url.get_secret_value(), "psycopg"), None)
    password = keys.derive("analyst-password")
    return AnalystLogin(with_login(url, username=ROLE, password=password), password)


# What PUBLIC may do in a fresh database beyond reading: make tables that fill the disk, hold locks that migrations
# wait for, speak on channels that our workers listen to, end its own siblings. Where our login owns these functions, as
# it does in the embedded mode, it takes them back.
_FORBIDDEN_FUNCTIONS = (
    "pg_advisory", "pg_try_advisory", "pg_notify", "pg_sleep", "pg_cancel_backend", "pg_terminate_backend",
    "lo_", "loread", "lowrite", "pg_export_snapshot", "pg_log_backend_memory_contexts", "query_to_xml",
    "table_to_xml", "schema_to_xml", "database_to_xml", "cursor_to_xml", "set_config",
)  # fmt: skip


def prepare_analyst(engine: Engine, login: AnalystLogin) -> None:
    """Makes the role if need be, and grants it exactly what it is to have."""
    if login.password is None:
        return
    try:
        with engine.begin() as connection:
            _make_role(connection, login.password)
    except ProgrammingError as error:
        log.warning(
            "analyst_role_not_made",
            reason=_first_line(error),
            mend="let the service's login create roles, or set LOGITRACK_ANALYST_DATABASE_URL",
        )
        return
    try:
        with engine.begin() as connection:
            _take_back_from_public(connection)
    except ProgrammingError as error:
        log.warning("public_keeps_its_defaults", reason=_first_line(error))


def _make_role(connection: Connection, password: str) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not connection.scalar(text("select exists (select from pg_roles where rolname = :role)"), {"role": ROLE}):
        connection.exec_driver_sql(f"create role {ROLE}")
    assert password.isalnum()  # a role's password cannot be a bound parameter; ours is hexadecimal
    connection.exec_driver_sql(f"alter role {ROLE} login noinherit connection limit 32 password '{password}'")
    connection.exec_driver_sql(f"alter role {ROLE} set default_transaction_read_only = on")
    connection.exec_driver_sql(f"alter role {ROLE} set search_path = analytics")
    database = connection.scalar(text("select quote_ident(current_database())"))
    connection.exec_driver_sql(f"grant connect on database {database} to {ROLE}")
    connection.exec_driver_sql(f"grant usage on schema analytics to {ROLE}")
    connection.exec_driver_sql(f"grant select on all tables in schema analytics to {ROLE}")
    connection.exec_driver_sql(f"grant execute on all functions in schema analytics to {ROLE}")


def _take_back_from_public(connection: Connection) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    database = connection.scalar(text("select quote_ident(current_database())"))
    connection.exec_driver_sql(f"revoke temporary, create on database {database} from public")
    connection.exec_driver_sql("revoke create on schema public from public")
    functions = connection.scalars(
        text(
            "select oid::regprocedure::text from pg_proc where pronamespace = 'pg_catalog'::regnamespace"
            " and proname like any (:names) and pg_has_role(proowner, 'usage')"
            " and has_function_privilege(:role, oid, 'execute')"
        ),
        {"names": [name.replace("_", "\\_") + "%" for name in _FORBIDDEN_FUNCTIONS], "role": ROLE},
    ).all()
    if functions:
        connection.exec_driver_sql(f"revoke execute on function {', '.join(functions)} from public")


def _first_line(error: ProgrammingError) -> str:
    return str(error.orig).strip().splitlines()[0]
