"""Database logins of analysts over HTTP: made by admins, gone with the right to have one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database.roles import ANALYST_LOGIN_PREFIX
from logitrack_service.auth import administration
from logitrack_tests.service.conftest import ServiceHome, User


@pytest.fixture(autouse=True)
def no_login_left(service_home: ServiceHome) -> Iterator[None]:
    """Roles belong to the server, not to the database of a test."""
    yield
    rows = service_home.run(f"select quote_ident(rolname) from pg_roles where rolname like '{ANALYST_LOGIN_PREFIX}%'")
    for (role,) in rows:
        service_home.run(f"drop role {role}")


def roles(home: ServiceHome, user: User) -> list[Any]:
    return home.run("select rolname from pg_roles where rolname = :name", name=f"{ANALYST_LOGIN_PREFIX}{user.username}")


def create(client: TestClient, admin: User, user: User) -> Any:
    return client.post(f"/accounts/{user.username}/database-login", headers=admin.headers)


def test_the_address_reads_the_views(client: TestClient, admin: User, analyst: User):
    response = create(client, admin, analyst)
    assert response.status_code == 201, response.text
    body = response.json()
    assert body["password"] in body["url"]
    with psycopg.connect(body["url"]) as connection:
        assert connection.execute("select current_user, count(*) from zones").fetchone() == (body["username"], 265)
    rows = client.get("/audit", params={"event": "database_login_created"}, headers=admin.headers).json()["rows"]
    assert rows[0]["username"] == analyst.username
    assert body["password"] not in str(rows)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/role", {"role": "user"}),
        ("PUT", "/disabled", {"disabled": True}),
        ("DELETE", "", None),
        ("DELETE", "/database-login", None),
    ],
)
def test_a_login_ends_with_the_right_to_have_one(
    client: TestClient, service_home: ServiceHome, admin: User, analyst: User, method: str, path: str, body: Any
):
    url = create(client, admin, analyst).json()["url"]
    assert roles(service_home, analyst)
    changed = client.request(method, f"/accounts/{analyst.username}{path}", json=body, headers=admin.headers)
    assert changed.is_success, changed.text
    assert roles(service_home, analyst) == []
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_change_between_analyst_and_admin_keeps_the_login(
    client: TestClient, service_home: ServiceHome, admin: User, analyst: User
):
    create(client, admin, analyst)
    client.put(f"/accounts/{analyst.username}/role", json={"role": "admin"}, headers=admin.headers)
    assert roles(service_home, analyst)


def test_only_analysts_have_a_login_and_only_admins_give_one(
    client: TestClient, admin: User, analyst: User, user: User
):
    assert create(client, admin, user).status_code == 409
    assert create(client, analyst, analyst).status_code == 403
    assert client.post("/accounts/nobody-here/database-login", headers=admin.headers).status_code == 404
    assert client.delete(f"/accounts/{analyst.username}/database-login", headers=admin.headers).status_code == 404


def test_missing_rights_are_a_sentence(client: TestClient, admin: User, analyst: User, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise ProgrammingError("create role", {}, psycopg.errors.InsufficientPrivilege("permission denied"))

    monkeypatch.setattr(administration, "create_analyst_login", refuse)
    response = create(client, admin, analyst)
    assert response.status_code == 409
    assert "logitrack analyst-url" in response.json()["detail"]
