"""Roles: each login does its own work and nothing beyond it, checked with real logins by password."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from logitrack_assets.database import DatabaseError, migrate, psycopg_dsn, with_database, with_login
from logitrack_assets.database import database_url as address_of
from logitrack_assets.database.roles import (
    ANALYST_ROLE,
    ASSETS_ROLE,
    OWNER_ROLE,
    SERVICE_ROLE,
    migrate_with_roles,
)
from logitrack_assets.settings import RoleSettings, Settings

LOGINS = (SERVICE_ROLE, ASSETS_ROLE, ANALYST_ROLE)
PASSWORD = "a@b/c%41 d:e?f#g+h&i=j'k\"l\\mé"
ROLE_SETTINGS = RoleSettings(
    service_database_password=SecretStr(PASSWORD),
    assets_database_password=SecretStr(PASSWORD),
    analyst_database_password=SecretStr(PASSWORD),
)
Denied = psycopg.errors.InsufficientPrivilege


@pytest.fixture(scope="module")
def administrator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a superuser in a cluster of its own, because roles belong to the cluster and not to a database.

    The embedded server trusts every login; here ours need their passwords.
    """
    home = tmp_path_factory.mktemp("roles")
    url = address_of(Settings(home=home, database_url=None))
    rules = home / "postgres" / "pg_hba.conf"
    rules.write_text(f"local all {','.join(LOGINS)} scram-sha-256\n{rules.read_text()}")
    name = f"roles_{uuid.uuid4().hex[:8]}"
    with _connected(url) as connection:
        connection.execute("select pg_reload_conf()")
        connection.execute(f"create database {name}")
    address = with_database(url, name)
    assert migrate_with_roles(address, ROLE_SETTINGS) == []
    with _connected(address) as connection:
        connection.execute(f"set role {ASSETS_ROLE}")
        connection.execute("create table dagster.runs (run_id text)")
    return address


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(psycopg_dsn(url), autocommit=True) as connection:
        yield connection


def _login(administrator: str, role: str, password: str = PASSWORD) -> str:
    return with_login(administrator, username=role, password=password)


@pytest.mark.parametrize("role", LOGINS)
def test_a_password_with_reserved_characters_logs_in(administrator: str, role: str) -> None:
    with _connected(_login(administrator, role)) as connection:
        assert connection.execute("select current_user").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match="password"), _connected(_login(administrator, role, "other")):
        pass


@pytest.mark.parametrize("role", [*LOGINS, OWNER_ROLE])
def test_no_role_is_more_than_its_work_needs(administrator: str, role: str) -> None:
    with _connected(administrator) as connection:
        rights = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin,"
            " coalesce(rolpassword like 'SCRAM-SHA-256$%%', false) from pg_authid where rolname = %s",
            [role],
        ).fetchone()
    login = role != OWNER_ROLE
    assert rights == (False, False, False, False, False, login, login)


def test_the_owner_owns_every_table_and_view(administrator: str) -> None:
    with _connected(administrator) as connection:
        owners = connection.execute(
            "select distinct pg_get_userbyid(relowner) from pg_class"
            " where relnamespace in ('warehouse'::regnamespace, 'service'::regnamespace, 'analytics'::regnamespace)"
        ).fetchall()
    assert owners == [(OWNER_ROLE,)]


@pytest.mark.parametrize("role", [SERVICE_ROLE, ASSETS_ROLE])
def test_a_login_without_rights_to_migrate_starts_on_a_migrated_database(administrator: str, role: str) -> None:
    migrate(_login(administrator, role))


@pytest.mark.parametrize("role", [SERVICE_ROLE, ASSETS_ROLE])
def test_pending_migrations_are_named_to_a_login_that_may_not_run_them(administrator: str, role: str) -> None:
    version = "update warehouse.schema_version set version_num = %s returning version_num"
    with _connected(administrator) as connection:
        newest = connection.execute("select version_num from warehouse.schema_version").fetchone()
        connection.execute(version, ["0004"])
        try:
            with pytest.raises(DatabaseError, match="logitrack database migrate"):
                migrate(_login(administrator, role))
        finally:
            connection.execute(version, newest)


ALLOWED = [
    (
        SERVICE_ROLE,
        "insert into service.accounts (username, normalized_username, password_hash) values ('ada', 'ada', 'hash')",
    ),
    (SERVICE_ROLE, "insert into service.audit_events (event) values ('login')"),
    (SERVICE_ROLE, "delete from service.sessions"),
    (SERVICE_ROLE, "create temporary table again (like service.predictions)"),
    (SERVICE_ROLE, "select * from warehouse.trip_stats_hour"),
    (SERVICE_ROLE, "select analytics.duration_quantile('{1}', '{1}', 0.5), pg_advisory_lock(1)"),
    (SERVICE_ROLE, "select * from analytics.live_error"),
    (SERVICE_ROLE, "notify sessions"),
    (ASSETS_ROLE, "delete from warehouse.trip_stats_hour where month = '2019-01'"),
    (ASSETS_ROLE, "insert into warehouse.eta_drift select * from warehouse.eta_drift"),
    (ASSETS_ROLE, "select pg_advisory_xact_lock(hashtext('warehouse 2019-01'))"),
    (ASSETS_ROLE, "create table job_ticks (id int); drop table job_ticks"),
    (ASSETS_ROLE, "delete from service.outcomes where ctid = any(array(select ctid from service.outcomes limit 1))"),
    (ASSETS_ROLE, "select role from service.accounts join service.predictions using (account_id)"),
    (ASSETS_ROLE, "select * from service.evaluated_outcomes"),
    (ASSETS_ROLE, "select summary from service.live_states; select * from service.live_outcomes"),
    (SERVICE_ROLE, "select nextval('service.live_positions')"),
    (ANALYST_ROLE, "select * from analytics.hours"),
    (ANALYST_ROLE, "select * from analytics.champions"),
]
DENIED = [
    (SERVICE_ROLE, "select * from dagster.runs"),
    (SERVICE_ROLE, "create table service.more (id int)"),
    (SERVICE_ROLE, "alter table service.accounts add column more int"),
    (SERVICE_ROLE, "drop table service.accounts"),
    (SERVICE_ROLE, "create schema more"),
    (SERVICE_ROLE, "create table public.more (id int)"),
    (SERVICE_ROLE, "delete from warehouse.trip_stats_hour"),
    (SERVICE_ROLE, "update warehouse.schema_version set version_num = '0001'"),
    (SERVICE_ROLE, "delete from service.audit_events"),
    (SERVICE_ROLE, "update service.audit_events set event = ''"),
    (SERVICE_ROLE, "create role more"),
    (SERVICE_ROLE, f"set role {OWNER_ROLE}"),
    (SERVICE_ROLE, "copy (select 1) to program 'true'"),
    (SERVICE_ROLE, "select pg_read_file('PG_VERSION')"),
    (ASSETS_ROLE, "select password_hash from service.accounts"),
    (ASSETS_ROLE, "select * from service.sessions"),
    (ASSETS_ROLE, "select * from service.refresh_tokens"),
    (ASSETS_ROLE, "update service.accounts set role = 'admin'"),
    (ASSETS_ROLE, "insert into service.outcomes select * from service.outcomes"),
    (ASSETS_ROLE, "alter table warehouse.zones add column more int"),
    (ASSETS_ROLE, "update warehouse.schema_version set version_num = '0001'"),
    (ASSETS_ROLE, f"set role {OWNER_ROLE}"),
    (ANALYST_ROLE, "select * from warehouse.trip_stats_hour"),
    (ANALYST_ROLE, "select * from service.accounts"),
    (ANALYST_ROLE, "select * from service.live_states"),
    (ANALYST_ROLE, "select * from dagster.runs"),
    (ANALYST_ROLE, "select pg_advisory_lock(1)"),
    (ANALYST_ROLE, "set transaction read write; create temporary table more (id int)"),
    (ANALYST_ROLE, "set temp_file_limit = '1TB'"),
]


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_what_a_login_needs_is_allowed(administrator: str, role: str, statement: str) -> None:
    with _connected(_login(administrator, role)) as connection, connection.transaction(force_rollback=True):
        connection.execute(statement)


@pytest.mark.parametrize(("role", "statement"), DENIED)
def test_what_a_login_does_not_need_is_denied(administrator: str, role: str, statement: str) -> None:
    with _connected(_login(administrator, role)) as connection, pytest.raises(Denied), connection.transaction():
        connection.execute(statement)


def test_analysts_have_the_limits_that_postgresql_enforces(administrator: str) -> None:
    with _connected(_login(administrator, ANALYST_ROLE)) as connection:
        limits = connection.execute("select current_setting('work_mem'), current_setting('temp_file_limit')")
        assert limits.fetchone() == ("16MB", "256MB")


def test_repeating_it_sets_new_passwords_and_takes_back_what_was_granted_by_hand(administrator: str) -> None:
    with _connected(administrator) as connection:
        connection.execute(f"grant select on service.sessions to {ASSETS_ROLE}")
    changed = ROLE_SETTINGS.model_copy(update={"assets_database_password": SecretStr("changed")})
    try:
        migrate_with_roles(administrator, changed)
        with _connected(_login(administrator, ASSETS_ROLE, "changed")) as connection, pytest.raises(Denied):
            connection.execute("select * from service.sessions")
    finally:
        migrate_with_roles(administrator, ROLE_SETTINGS)


def test_an_administrator_who_is_no_superuser_creates_the_same_roles(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A managed PostgreSQL gives nobody a superuser; what needs one is named."""
    base = address_of(Settings(home=tmp_path_factory.mktemp("managed"), database_url=None))
    with _connected(base) as connection:
        connection.execute("create role manager login createrole createdb")
        connection.execute("create database managed owner manager")
    address = with_login(with_database(base, "managed"), username="manager", password=None)
    notes = migrate_with_roles(address, ROLE_SETTINGS)
    assert len(notes) == 1
    assert "temp_file_limit" in notes[0]
    engine = create_engine(address)
    with engine.connect() as connection:
        owners = connection.execute(text("select distinct tableowner from pg_tables where schemaname = 'service'"))
        assert owners.scalars().all() == [OWNER_ROLE]
    engine.dispose()
    migrate(with_login(address, username=SERVICE_ROLE, password=None))
