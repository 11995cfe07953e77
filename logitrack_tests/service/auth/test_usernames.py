"""Usernames: one normal form for storing, finding and throttling, whatever letters PostgreSQL and Python fold."""

from __future__ import annotations

import pytest
from alembic import command
from litestar.testing import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.schema import CreateSchema

from logitrack_assets.database.migrate import VERSION_SCHEMA, alembic_config
from logitrack_service.auth.admin import create_admin
from logitrack_service.auth.usernames import normalize_username
from logitrack_service.errors import InvalidRequestError
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import PASSWORD, QUICK_HASHES, ServiceHome, log_in

OUTSIDE_THE_ALPHABET = [
    "alice\n",
    "\nalice",
    "al ice",
    "al\x00ice",
    "-alice",
    "İrving",
    "ırving",
    "älice",
    "alıce",
    "ſam",
]


@pytest.mark.parametrize("username", [*OUTSIDE_THE_ALPHABET, "al", "a" * 65])
def test_names_outside_the_alphabet_do_not_register(client: TestClient, username: str):
    response = client.post("/register", json={"username": username, "password": PASSWORD})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "username"


@pytest.mark.parametrize("username", OUTSIDE_THE_ALPHABET)
def test_command_line_creates_no_account_outside_the_alphabet(isolated_home: ServiceHome, username: str):
    with pytest.raises(InvalidRequestError, match="A username has 3 to 64 characters"):
        create_admin(isolated_home.settings, username, PASSWORD, service_settings=ServiceSettings(**QUICK_HASHES))


def test_letters_that_postgresql_folds_do_not_find_an_account(isolated_home: ServiceHome):
    """Each spelling had its own throttle and found the same account, so every guess was verified."""
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "irving", "password": PASSWORD})
        assert log_in(client, "İrving").status_code == 401
        assert log_in(client, "irving\n").status_code == 401
        assert log_in(client, "IRVING").status_code == 200


def test_all_spellings_of_a_name_share_one_throttle(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "irving", "password": PASSWORD})
        spellings = ["irving", "Irving", "IRVING", "iRving", "irVING", "irviNG", "İrving"]
        statuses = [log_in(client, name, "wrong password 123").status_code for name in spellings]
    assert statuses == [401] * 5 + [429, 401], "the last spelling names no account"


@pytest.mark.parametrize(
    ("username", "normal"),
    [("Alice", "alice"), ("BOB.1@x", "bob.1@x"), ("İrving", "İrving"), ("Alice\n", "Alice\n"), ("É", "É"), ("", "")],
)
def test_normal_form(username: str, normal: str):
    assert normalize_username(username) == normal


def test_migration_takes_existing_accounts_over(empty_database_url: str):
    """Accounts from before the alphabet was declared keep their names, and all stay different."""
    existing = ["Alice", "alice\n", "bob", "İstanbul", "irving", "Ünal", "x" * 80, "o'neil"]
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(CreateSchema(VERSION_SCHEMA))
        command.upgrade(alembic_config(connection), "0005")
        for username in existing:
            values = {"username": username}
            connection.execute(
                text("insert into service.accounts (username, password_hash) values (:username, '')"), values
            )
        command.upgrade(alembic_config(connection), "0006")
        rows = connection.execute(text("select username, normalized_username, vouched from service.accounts")).all()
        command.downgrade(alembic_config(connection), "0005")
        assert connection.scalar(text("select count(*) from service.accounts")) == len(existing)
    engine.dispose()
    assert sorted(rows) == sorted((username, normalize_username(username), False) for username in existing)
