"""Analysts' own logins: reachable over TCP where asked for, limited by PostgreSQL, and gone when they are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url

from logitrack_assets.database import analyst_address, database_url, migrate
from logitrack_assets.database.roles import (
    MAX_OWN_LOGIN_CONNECTIONS,
    MAX_ROLE_NAME_BYTES,
    analyst_role_name,
    create_analyst_login,
    create_analyst_role,
    drop_analyst_login,
    revoke_public_defaults,
)
from logitrack_assets.settings import Settings
from logitrack_service.analytics.analyst_watchdog import AnalystWatchdog
from logitrack_service.database import connect
from logitrack_tests.service.processes import free_port

NAME = "Ada@example.org"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An embedded server with a TCP port and the analysts' role."""
    settings = Settings(home=tmp_path_factory.mktemp("tcp"), database_url=None, postgres_port=free_port())
    url = database_url(settings)
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        create_analyst_role(connection, "the password of the service's own login")
        revoke_public_defaults(connection)
    engine.dispose()
    return settings


@pytest.fixture
def administrator(embedded: Settings) -> Iterator[Engine]:
    engine = create_engine(database_url(embedded))
    yield engine
    drop(engine)
    engine.dispose()


def create(administrator: Engine) -> str:
    with administrator.begin() as connection:
        return create_analyst_login(connection, NAME)


def drop(administrator: Engine) -> bool:
    with administrator.begin() as connection:
        return drop_analyst_login(connection, NAME)


@pytest.fixture
def address(embedded: Settings, administrator: Engine) -> str:
    """The address that an analyst gets."""
    password = create(administrator)
    return analyst_address(
        database_url(embedded), role=analyst_role_name(NAME), password=password, embedded_port=embedded.postgres_port
    )


def test_an_analyst_reads_the_views_over_tcp(address: str) -> None:
    assert make_url(address).host == "127.0.0.1"
    with psycopg.connect(address) as connection:
        zones = connection.execute("select zone_name from zones where zone = 132").fetchall()
        limits = connection.execute(
            "select current_setting('statement_timeout'), current_setting('temp_file_limit'),"
            " current_setting('work_mem')"
        ).fetchone()
    assert zones == [("JFK Airport",)]
    assert limits == ("5min", "256MB", "16MB")


@pytest.mark.parametrize(
    "statement",
    [
        "select * from service.accounts",
        "select * from warehouse.trip_months",
        "set transaction read write; create temporary table more (id int)",
        "set transaction read write; create table public.more (id int)",
        "set temp_file_limit = '1TB'",
        "set role logitrack_analyst",
        "select pg_sleep(1)",
        "select pg_advisory_lock(1)",
        "select pg_read_file('PG_VERSION')",
        "copy (select 1) to program 'true'",
    ],
)
def test_an_analyst_can_do_nothing_else(address: str, statement: str) -> None:
    with psycopg.connect(address) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_connections_of_a_login_are_limited(address: str) -> None:
    connections = [psycopg.connect(address) for _ in range(MAX_OWN_LOGIN_CONNECTIONS)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(address)
    finally:
        for connection in connections:
            connection.close()


def test_over_tcp_only_analysts_connect_and_only_with_their_password(embedded: Settings, address: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"):
        psycopg.connect(host="127.0.0.1", port=embedded.postgres_port, user="postgres", dbname="postgres")
    wrong = make_url(address).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_a_second_call_gives_a_new_password(administrator: Engine, address: str) -> None:
    create(administrator)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


def wait_until_broken(connection: psycopg.Connection) -> None:
    """Wait until the backend has seen the signal to end."""
    deadline = time.monotonic() + 10
    while not connection.broken:
        assert time.monotonic() < deadline
        with contextlib.suppress(psycopg.OperationalError):
            connection.execute("select 1")
        time.sleep(0.05)


def test_dropping_a_login_ends_its_connections(administrator: Engine, address: str) -> None:
    with psycopg.connect(address) as connection:
        assert drop(administrator)
        wait_until_broken(connection)
    assert not drop(administrator)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)


def test_a_query_without_a_timeout_is_ended(embedded: Settings, address: str) -> None:
    failures: list[Exception] = []

    def compute() -> None:
        with psycopg.connect(address) as connection:
            connection.execute("set statement_timeout = 0")
            try:
                connection.execute("select count(*) from generate_series(1, 1e11)")
            except psycopg.Error as error:
                failures.append(error)

    async def watch() -> int:
        engine = connect(database_url(embedded))
        try:
            watchdog = AnalystWatchdog(engine)
            assert await watchdog.end_overdue() == 0, "it has run for a moment only"
            for _ in range(300):
                if ended := await watchdog.end_overdue(seconds=0.2):
                    return ended
                await asyncio.sleep(0.1)
            return 0
        finally:
            await engine.dispose()

    thread = threading.Thread(target=compute)
    thread.start()
    assert asyncio.run(watch()) == 1
    thread.join(30)
    assert isinstance(failures[0], psycopg.OperationalError)


def test_names_of_roles_are_bounded_and_distinct() -> None:
    assert analyst_role_name("Ada") == analyst_role_name("ada") == "logitrack_analyst_ada"
    long_names = [analyst_role_name("x" * 60 + letter) for letter in "ab"]
    assert len(set(long_names)) == 2
    assert all(len(name) <= MAX_ROLE_NAME_BYTES for name in long_names)


def test_without_a_port_the_embedded_server_listens_on_no_address(postgres: str) -> None:
    with psycopg.connect(postgres.replace("+psycopg", "")) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        rules = connection.execute("select type, user_name from pg_hba_file_rules order by 1 desc").fetchall()
    assert rules == [("local", ["all"]), ("host", ["+logitrack_analyst"])]
