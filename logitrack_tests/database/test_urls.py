"""Addresses of PostgreSQL: drivers, quoting, and no password in a message."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from logitrack_assets.database import (
    DatabaseError,
    database_url,
    driver_url,
    psycopg_dsn,
    wait_for_database,
    with_database,
    with_login,
    without_password,
)
from logitrack_assets.settings import Settings


@pytest.mark.parametrize("given", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"])
def test_driver_url_sets_the_driver_for_every_scheme(given: str) -> None:
    assert driver_url(given, "psycopg") == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize("given", ["mysql://u:p@h/d", "sqlite:///x", "no address"])
def test_driver_url_refuses_other_databases(given: str) -> None:
    with pytest.raises(DatabaseError, match="LOGITRACK_DATABASE_URL"):
        driver_url(given, "psycopg")


def test_unreachable_database_is_named_without_its_password() -> None:
    settings = Settings(database_url=SecretStr("postgresql://me:hush-hush@127.0.0.1:9/trips"))
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:9/trips does not answer") as caught:
        wait_for_database(database_url(settings), seconds=0.5)
    assert "hush-hush" not in str(caught.value)


def test_passwords_with_special_characters_are_quoted() -> None:
    url = with_login("postgresql+psycopg://u@h/d", username="analyst", password="a@b:c/d")
    assert url == "postgresql+psycopg://analyst:a%40b%3Ac%2Fd@h/d"
    assert psycopg_dsn(url) == "postgresql://analyst:a%40b%3Ac%2Fd@h/d"
    assert without_password(url) == "postgresql://analyst:***@h/d"
    assert with_database(url, "other").endswith("@h/other")
