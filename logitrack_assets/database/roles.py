"""PostgreSQL roles with the least privileges: who owns the schema, and who may read and write what.

    logitrack_owner     owns schemas, tables and views; migrations run as it; it has no login
    logitrack_service   the HTTP service: rows of `service`, reads `warehouse` and `analytics`
    logitrack_assets    Dagster and Spark: rows of `warehouse`, Dagster's tables in `dagster`, old requests in `service`
    logitrack_analyst   analysts' queries over HTTP: reads the views in `analytics`
    logitrack_analyst_… an analyst's own login, for BI tools: the same rights

An administrator's login creates them with `logitrack database migrate`, which may be repeated at any time: passwords,
attributes and grants end as they are written here. The embedded mode has one operating-system user and therefore one
login; it uses only the analysts' part.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

import psycopg
from sqlalchemy import Connection, column, create_engine, func, make_url, select, table
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database.function_privileges import revoke_functions
from logitrack_assets.database.migrate import migrate
from logitrack_assets.database.tables import accounts
from logitrack_assets.settings import RoleSettings

OWNER_ROLE = "logitrack_owner"
SERVICE_ROLE = "logitrack_service"
ASSETS_ROLE = "logitrack_assets"
ANALYST_ROLE = "logitrack_analyst"
DAGSTER_SCHEMA = "dagster"

MAX_ANALYST_CONNECTIONS = 32
ANALYST_LOGIN_PREFIX = f"{ANALYST_ROLE}_"
"""Start of the names of analysts' own logins."""

MAX_OWN_LOGIN_CONNECTIONS = 5
MAX_ROLE_NAME_BYTES = 63
_ADVISORY_LOCK = 0x1061_7AC5  # an arbitrary key; no other lock of the project uses it

MAX_QUERY_SECONDS = 300  # the highest LOGITRACK_QUERY_SECONDS

_roles = table("pg_roles", column("rolname"), schema="pg_catalog")
_sessions = table("pg_stat_activity", column("pid"), column("usename"), schema="pg_catalog")
_ROLE_SETTINGS = {
    SERVICE_ROLE: {"work_mem": "16MB"},
    # Dagster creates its tables without a schema name: the search path puts them where only this role reads.
    ASSETS_ROLE: {"work_mem": "64MB", "search_path": DAGSTER_SCHEMA},
}
# A person or a BI tool thinks between two queries.
_OWN_LOGIN_SETTINGS = {"idle_session_timeout": "30min", "idle_in_transaction_session_timeout": "60s"}
_ANALYST_SUPERUSER_SETTINGS = {"temp_file_limit": "256MB"}  # refused to other administrators unless granted

_GRANTS = (
    f"grant usage on schema warehouse, service, analytics to {SERVICE_ROLE}",
    f"grant select, insert, update, delete on all tables in schema service to {SERVICE_ROLE}",
    f"grant usage, select on all sequences in schema service to {SERVICE_ROLE}",
    f"revoke update, delete on service.audit_events from {SERVICE_ROLE}",  # what is recorded stays as it was
    f"grant select on all tables in schema warehouse to {SERVICE_ROLE}",
    f"grant select on all tables in schema analytics to {SERVICE_ROLE}",
    # The service ends analysts' backends that compute on after their time limit.
    f"grant {ANALYST_ROLE} to {SERVICE_ROLE} with inherit true, set false",
    f"grant usage on schema warehouse, service, analytics to {ASSETS_ROLE}",
    f"grant select, insert, update, delete on all tables in schema warehouse to {ASSETS_ROLE}",
    f"revoke insert, update, delete on warehouse.schema_version from {ASSETS_ROLE}",
    f"grant select on all tables in schema analytics to {ASSETS_ROLE}",
    # The live error is computed from these, and retention removes old rows.
    "grant select, delete on service.predictions, service.outcomes, service.audit_events, service.live_states"
    f" to {ASSETS_ROLE}",
    f"grant select on service.evaluated_outcomes, service.live_outcomes to {ASSETS_ROLE}",
)
# Columns of accounts that the assets must not read; all others say whose outcomes count.
_ACCOUNT_SECRETS = ("password_hash",)


def migrate_with_roles(url: str, settings: RoleSettings) -> list[str]:
    """Create the roles, run every pending migration as the owner, and grant each role what it needs.

    Args:
        url: SQLAlchemy address of the database with an administrator's login: a superuser, or a role that may create
            roles and owns the database.
        settings: The passwords to set.

    Returns:
        A sentence for each limit that the administrator's rights did not suffice for.
    """
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.begin() as connection:
            _lock(connection)
            notes = _create_roles(connection, settings)
        migrate(_url_as_owner(url))
        with engine.begin() as connection:
            _lock(connection)
            _grant(connection)
            grant_analyst(connection)
            revoke_public_defaults(connection, except_for=(OWNER_ROLE,))
    finally:
        engine.dispose()
    return notes


def analyst_settings(query_seconds: int) -> dict[str, str]:
    """Return the settings of analysts' sessions that need no special right, for queries of at most so many seconds."""
    return {
        "statement_timeout": f"{query_seconds}s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
        "idle_session_timeout": "60s",
        "client_connection_check_interval": "1s",  # ends a query whose client is gone
        "client_min_messages": "error",
        "default_transaction_read_only": "on",
        "search_path": "analytics",
        "work_mem": "16MB",
        "hash_mem_multiplier": "1",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }


def create_analyst_role(connection: Connection, password: str, *, query_seconds: int = MAX_QUERY_SECONDS) -> list[str]:
    """Create or update the analysts' login and grant it the views in `analytics`, and nothing else.

    Returns:
        A sentence for each limit that this login's rights did not suffice for.

    Raises:
        sqlalchemy.exc.ProgrammingError: This login may not create roles.
    """
    _lock(connection)
    settings = {**analyst_settings(query_seconds), **_ANALYST_SUPERUSER_SETTINGS}
    notes = _create_role(connection, ANALYST_ROLE, password, settings, connection_limit=MAX_ANALYST_CONNECTIONS)
    grant_analyst(connection)
    return notes


def analyst_role_name(username: str) -> str:
    """Return the role of an analyst's own login; PostgreSQL's names have at most 63 bytes."""
    name = f"{ANALYST_LOGIN_PREFIX}{username.lower()}"
    if len(name.encode()) <= MAX_ROLE_NAME_BYTES:
        return name
    return f"{ANALYST_LOGIN_PREFIX}{hashlib.sha256(username.lower().encode()).hexdigest()[:32]}"


def create_analyst_login(connection: Connection, username: str) -> str:
    """Create the PostgreSQL login of one analyst, or give it a new password, and return the password.

    It has the rights of the analysts' role and nothing else. Its connections, temporary files and rights are limited by
    PostgreSQL. A session can change its own `statement_timeout`; the service ends queries that run longer.

    Raises:
        sqlalchemy.exc.ProgrammingError: This login may not create roles, or the analysts' role does not exist yet.
    """
    _lock(connection)
    role, password = analyst_role_name(username), secrets.token_urlsafe(24)
    settings = {**analyst_settings(MAX_QUERY_SECONDS), **_OWN_LOGIN_SETTINGS, **_ANALYST_SUPERUSER_SETTINGS}
    _create_role(connection, role, password, settings, connection_limit=MAX_OWN_LOGIN_CONNECTIONS)
    quoted = _quoted(connection, role)
    connection.exec_driver_sql(f"grant {ANALYST_ROLE} to {quoted} with inherit true, set false")
    if _role_exists(connection, SERVICE_ROLE):  # it ends queries that run too long
        connection.exec_driver_sql(f"grant {quoted} to {SERVICE_ROLE} with inherit true, set false")
    return password


def drop_analyst_login(connection: Connection, username: str) -> bool:
    """Drop an analyst's own login and end its connections; return whether there was one.

    Raises:
        sqlalchemy.exc.ProgrammingError: This login may not drop roles.
    """
    role = analyst_role_name(username)
    if not _role_exists(connection, role):
        return False
    _lock(connection)
    quoted = _quoted(connection, role)
    connection.exec_driver_sql(f"alter role {quoted} nologin")
    connection.execute(
        select(func.pg_terminate_backend(_sessions.c.pid)).select_from(_sessions).where(_sessions.c.usename == role)
    )
    connection.exec_driver_sql(f"drop role {quoted}")
    return True


def grant_analyst(connection: Connection) -> None:
    """Grant the analysts' role the views and functions in `analytics`."""
    database = _quoted_database(connection)
    for statement in (
        f"grant connect on database {database} to {ANALYST_ROLE}",
        f"grant usage on schema analytics to {ANALYST_ROLE}",
        f"grant select on all tables in schema analytics to {ANALYST_ROLE}",
        f"grant execute on all functions in schema analytics to {ANALYST_ROLE}",
    ):
        connection.exec_driver_sql(statement)


def revoke_public_defaults(connection: Connection, *, except_for: Sequence[str] = ()) -> None:
    """Take from PUBLIC, and so from analysts, what a fresh database allows everyone beyond reading.

    Functions are revoked where this login owns them: as a superuser, which the embedded mode is.

    Args:
        connection: A transaction of the database's owner.
        except_for: Roles without a login that keep the functions; other logins always keep them.

    Raises:
        sqlalchemy.exc.ProgrammingError: This login does not own the database.
    """
    _lock(connection)
    connection.exec_driver_sql(f"revoke temporary, create on database {_quoted_database(connection)} from public")
    connection.exec_driver_sql("revoke create on schema public from public")
    revoke_functions(connection, ANALYST_ROLE, except_for=except_for)


def _lock(connection: Connection) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _role_exists(connection: Connection, role: str) -> bool:
    return connection.scalar(select(_roles.c.rolname).where(_roles.c.rolname == role)) is not None


def _quoted(connection: Connection, role: str) -> str:
    return str(connection.scalar(select(func.quote_ident(role))))


def _quoted_database(connection: Connection) -> str:
    return str(connection.scalar(select(func.quote_ident(func.current_database()))))


def _url_as_owner(url: str) -> str:
    return make_url(url).update_query_dict({"options": f"-c role={OWNER_ROLE}"}).render_as_string(hide_password=False)


def _create_roles(connection: Connection, settings: RoleSettings) -> list[str]:
    analyst = {**analyst_settings(MAX_QUERY_SECONDS), **_ANALYST_SUPERUSER_SETTINGS}
    notes = _create_role(connection, OWNER_ROLE, None, {})
    for role, password, role_settings, limit in (
        (SERVICE_ROLE, settings.service_database_password, _ROLE_SETTINGS[SERVICE_ROLE], -1),
        (ASSETS_ROLE, settings.assets_database_password, _ROLE_SETTINGS[ASSETS_ROLE], -1),
        (ANALYST_ROLE, settings.analyst_database_password, analyst, MAX_ANALYST_CONNECTIONS),
    ):
        notes += _create_role(connection, role, password.get_secret_value(), role_settings, connection_limit=limit)
    database = _quoted_database(connection)
    for statement in (
        f"revoke all on database {database} from public",
        f"grant connect, create on database {database} to {OWNER_ROLE}",
        f"grant connect, temporary on database {database} to {SERVICE_ROLE}, {ASSETS_ROLE}",
        f"grant {OWNER_ROLE} to current_user",  # a superuser needs no membership; another administrator does
        f"create schema if not exists {DAGSTER_SCHEMA} authorization {OWNER_ROLE}",
        f"grant usage, create on schema {DAGSTER_SCHEMA} to {ASSETS_ROLE}",
    ):
        connection.exec_driver_sql(statement)
    return notes


def _create_role(
    connection: Connection,
    role: str,
    password: str | None,
    settings: Mapping[str, str],
    *,
    connection_limit: int = -1,
) -> list[str]:
    """Create or update one role; without a password it has no login. Return a sentence for each missing limit."""
    quoted = _quoted(connection, role)
    if not _role_exists(connection, role):
        connection.exec_driver_sql(f"create role {quoted}")
    login = "nologin" if password is None else f"login password '{_scram_verifier(connection, role, password)}'"
    connection.exec_driver_sql(f"alter role {quoted} noinherit connection limit {connection_limit} {login}")
    notes = []
    for name, value in settings.items():
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"alter role {quoted} set {name} = '{value}'")
        except ProgrammingError as error:
            refused = isinstance(error.orig, psycopg.errors.InsufficientPrivilege)
            if not refused or name not in _ANALYST_SUPERUSER_SETTINGS:
                raise
            notes.append(f"{role} has no {name}: run `alter role {role} set {name} = '{value}'` as a superuser.")
    return notes


def _scram_verifier(connection: Connection, role: str, password: str) -> str:
    """Return what PostgreSQL stores for a password, so that the password itself is in no statement and in no log."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection | psycopg.AsyncConnection)
    return driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()


def _grant(connection: Connection) -> None:
    for role in (SERVICE_ROLE, ASSETS_ROLE):
        for schema in ("warehouse", "service", "analytics"):  # what an earlier version granted goes first
            connection.exec_driver_sql(f"revoke all on all tables in schema {schema} from {role}")
    for statement in _GRANTS:
        connection.exec_driver_sql(statement)
    columns = ", ".join(column.name for column in accounts.columns if column.name not in _ACCOUNT_SECRETS)
    connection.exec_driver_sql(f"grant select ({columns}) on service.accounts to {ASSETS_ROLE}")
