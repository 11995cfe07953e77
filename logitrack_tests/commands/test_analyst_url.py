"""`logitrack analyst-url`: an address that works, a reason where there is none, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from typer.testing import CliRunner, Result

from logitrack_assets.cli import app
from logitrack_assets.database import migrate
from logitrack_assets.database.roles import create_analyst_role, drop_analyst_login
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings, get_settings
from logitrack_service.auth.admin import create_admin
from logitrack_service.settings import ServiceSettings

PASSWORD = "rides all over the town"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["analyst-url", *arguments])


@pytest.fixture
def database(empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An external database with the analysts' role and an admin, as the settings name it."""
    migrate(empty_database_url)
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        create_analyst_role(connection, "a password of the service")
    settings = Settings(home=tmp_path, database_url=SecretStr(empty_database_url))
    create_admin(settings, "ada", PASSWORD, service_settings=ServiceSettings(argon2_memory_kib=64))
    monkeypatch.setenv("LOGITRACK_HOME", str(tmp_path))
    monkeypatch.setenv("LOGITRACK_DATABASE_URL", empty_database_url)
    get_settings.cache_clear()
    yield empty_database_url
    get_settings.cache_clear()
    with engine.begin() as connection:
        drop_analyst_login(connection, "ada")
    engine.dispose()


def test_the_printed_address_reads_the_views_until_it_is_revoked(database: str) -> None:
    printed = run("ada")
    assert printed.exit_code == 0, printed.output
    address = printed.stdout.removesuffix("\n")
    with psycopg.connect(address) as connection:
        assert connection.execute("select count(*) from zones").fetchone() == (265,)
    revoked = run("ada", "--revoke")
    assert revoked.stdout == "ada has no login of its own any more.\n"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)
    assert "has no login of its own" in str(run("ada", "--revoke").exception)


def test_an_account_without_the_role_gets_none(database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("update service.accounts set role = 'user'"))
    engine.dispose()
    assert "is not an enabled account with the role analyst" in str(run("ada").exception)


def test_the_embedded_server_needs_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_HOME", str(tmp_path))
    monkeypatch.delenv("LOGITRACK_DATABASE_URL", raising=False)
    get_settings.cache_clear()
    error = run("ada").exception
    get_settings.cache_clear()
    assert isinstance(error, LogitrackError)
    assert error.hint == "Set LOGITRACK_POSTGRES_PORT and start logitrack again."
    assert not (tmp_path / "postgres").exists(), "no server was started for the answer"
