"""Analysts' queries on a PostgreSQL where the service's login is not a superuser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text

from logitrack_assets.database import migrate
from logitrack_assets.settings import Settings
from logitrack_tests.service.analytics.test_sandbox import UNINTERRUPTIBLE, run_query
from logitrack_tests.service.conftest import KEY, ServiceHome
from logitrack_tests.service.models import promote_model

OWNER = "external_owner"
ANALYST = "external_analyst"


@pytest.fixture
def external_home(tmp_path: Path, postgres: str) -> Iterator[ServiceHome]:
    """Return a home whose database belongs to a login that may neither create roles nor set `temp_file_limit`."""
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create role {OWNER} login"))
        connection.execute(text(f"create role {ANALYST} login"))
        connection.execute(text(f"create database external owner {OWNER}"))
    url = make_url(postgres).set(database="external", username=OWNER).render_as_string(hide_password=False)
    migrate(url)
    promote_model(tmp_path)
    engine = create_engine(url)
    yield ServiceHome(Settings(home=tmp_path, database_url=SecretStr(url), secret_key=SecretStr(KEY)), engine)
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text("drop database external with (force)"))
        connection.execute(text(f"drop role {ANALYST}"))
        connection.execute(text(f"drop role {OWNER}"))
    admin.dispose()


def _grant(home: ServiceHome) -> None:
    """Grant an administrator's role what docs/operations.md lists."""
    home.run(f"grant usage on schema analytics to {ANALYST}")
    home.run(f"grant select on all tables in schema analytics to {ANALYST}")
    home.run(f"grant execute on all functions in schema analytics to {ANALYST}")


def test_queries_run_with_the_login_of_an_administrator(
    external_home: ServiceHome, new_user: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("logitrack_service.analytics.query.MAX_CONCURRENT_QUERIES", 1)
    monkeypatch.setattr("logitrack_service.analytics.query.GRACE_SECONDS", 0.2)
    monkeypatch.setattr("logitrack_service.analytics.query.QUEUE_SECONDS", 0.2)
    _grant(external_home)
    login = make_url(external_home.url).set(username=ANALYST).render_as_string(hide_password=False)
    with external_home.worker(analyst_database_url=SecretStr(login), query_seconds=1) as client:
        analyst = new_user("analyst", client=client, home=external_home)
        assert run_query(client, analyst, "select current_user, count(*) from months").json()["rows"] == [[ANALYST, 0]]
        assert run_query(client, analyst, "select * from service.accounts").status_code == 400
        assert run_query(client, analyst, "select count(*) from generate_series(1, 1e10)").status_code == 408
        assert run_query(client, analyst, UNINTERRUPTIBLE).status_code == 408
        assert run_query(client, analyst, "select 1").status_code == 503, "its backend computes on"


def test_missing_rights_are_logged_and_the_service_starts(
    external_home: ServiceHome, capsys: pytest.CaptureFixture[str]
):
    with external_home.worker() as client:
        assert client.get("/health/ready").json()["status"] != "failed"
    assert "analyst_role_not_created" in capsys.readouterr().out
