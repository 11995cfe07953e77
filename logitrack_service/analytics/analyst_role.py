"""The PostgreSQL role of analysts' own queries: it can read the views in `analytics` and nothing else.

PostgreSQL decides what a query may do, not an inspection of its text. The role's password is derived from the service's
key, so it is stored nowhere; where the service's login may not create roles, an administrator creates one and puts its
address into LOGITRACK_ANALYST_DATABASE_URL.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, column, func, or_, select, table
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database import driver_url, with_login
from logitrack_service.auth.keys import Keys
from logitrack_service.settings import ServiceSettings

ROLE = "logitrack_analyst"
MAX_CONNECTIONS = 32
_ADVISORY_LOCK = 0x1061_7AC5  # an arbitrary key; no other lock of the project uses it

# PUBLIC's defaults in a new database exceed reading: temporary tables fill the disk, advisory locks block migrations,
# notifications reach the workers' channels, and one session can cancel another. Where the service's login has the
# rights of these functions' owner, as in the embedded mode, they are revoked.
_FORBIDDEN_FUNCTION_PREFIXES = (
    "pg_advisory", "pg_try_advisory", "pg_notify", "pg_sleep", "pg_cancel_backend", "pg_terminate_backend",
    "lo_", "loread", "lowrite", "pg_export_snapshot", "pg_log_backend_memory_contexts", "query_to_xml",
    "table_to_xml", "schema_to_xml", "database_to_xml", "cursor_to_xml", "set_config",
)  # fmt: skip

_roles = table("pg_roles", column("rolname"), schema="pg_catalog")
_functions = table(
    "pg_proc", column("oid"), column("proname"), column("proowner"), column("pronamespace"), schema="pg_catalog"
)
_namespaces = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")

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


def prepare_analyst(engine: Engine, login: AnalystLogin) -> None:
    """Create the role if it does not exist, and grant it what it needs; insufficient rights are logged."""
    if login.password is None:
        return
    try:
        with engine.begin() as connection:
            _create_role(connection, login.password)
    except ProgrammingError as error:
        log.warning(
            "analyst_role_not_created",
            reason=_first_line(error),
            hint="let the service's login create roles, or set LOGITRACK_ANALYST_DATABASE_URL",
        )
        return
    try:
        with engine.begin() as connection:
            _revoke_public_defaults(connection)
    except ProgrammingError as error:
        log.warning("public_defaults_not_revoked", reason=_first_line(error))


def _create_role(connection: Connection, password: str) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    if connection.scalar(select(_roles.c.rolname).where(_roles.c.rolname == ROLE)) is None:
        connection.exec_driver_sql(f"create role {ROLE}")
    assert password.isalnum()  # DDL takes no bound parameters; the derived password is hexadecimal
    for statement in (
        f"alter role {ROLE} login noinherit connection limit {MAX_CONNECTIONS} password '{password}'",
        f"alter role {ROLE} set default_transaction_read_only = on",
        f"alter role {ROLE} set search_path = analytics",
        f"grant connect on database {_quoted_database(connection)} to {ROLE}",
        f"grant usage on schema analytics to {ROLE}",
        f"grant select on all tables in schema analytics to {ROLE}",
        f"grant execute on all functions in schema analytics to {ROLE}",
    ):
        connection.exec_driver_sql(statement)


def _revoke_public_defaults(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    connection.exec_driver_sql(f"revoke temporary, create on database {_quoted_database(connection)} from public")
    connection.exec_driver_sql("revoke create on schema public from public")
    arguments = func.pg_get_function_identity_arguments(_functions.c.oid)
    signatures = connection.scalars(
        select(func.format("pg_catalog.%I(%s)", _functions.c.proname, arguments))
        .join_from(_functions, _namespaces, _functions.c.pronamespace == _namespaces.c.oid)
        .where(
            _namespaces.c.nspname == "pg_catalog",
            or_(*(func.starts_with(_functions.c.proname, prefix) for prefix in _FORBIDDEN_FUNCTION_PREFIXES)),
            func.pg_has_role(_functions.c.proowner, "usage"),
            func.has_function_privilege(ROLE, _functions.c.oid, "execute"),
        )
    ).all()
    if signatures:
        connection.exec_driver_sql(f"revoke execute on function {', '.join(signatures)} from public")


def _quoted_database(connection: Connection) -> str:
    return str(connection.scalar(select(func.quote_ident(func.current_database()))))


def _first_line(error: ProgrammingError) -> str:
    return str(error.orig).strip().splitlines()[0]
