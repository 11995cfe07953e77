"""Registration, roles and the audit of accounts."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable

import pytest
from litestar.testing import TestClient
from pydantic import SecretStr

from logitrack_assets.settings import Settings
from logitrack_service.auth.keys import load_keys
from logitrack_service.auth.tokens import Tokens
from logitrack_service.errors import ConflictError
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.auth.components import auth_components
from logitrack_tests.service.conftest import KEY, PASSWORD, ServiceHome, User, log_in


def test_registered_user_logs_in_and_reads_own_profile(client: TestClient, user: User):
    assert user.tokens["token_type"] == "bearer"
    assert user.tokens["expires_in"] == 900
    me = client.get("/me", headers=user.headers).json()
    assert (me["username"], me["role"]) == (user.username, "user")


def test_usernames_are_unique_regardless_of_case(client: TestClient, user: User):
    response = client.post("/register", json={"username": user.username.upper(), "password": PASSWORD})
    assert response.status_code == 409


def test_registration_cannot_set_a_role(client: TestClient):
    body = {"username": "mallory", "password": PASSWORD, "role": "admin"}
    response = client.post("/register", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "role"


def test_only_admins_change_roles(client: TestClient, user: User, analyst: User, admin: User):
    role = f"/accounts/{user.username}/role"
    assert client.put(role, json={"role": "admin"}, headers=user.headers).status_code == 403
    assert client.put(role, json={"role": "admin"}, headers=analyst.headers).status_code == 403
    assert client.put(role, json={"role": "emperor"}, headers=admin.headers).status_code == 422
    assert client.put("/accounts/no-such-one/role", json={"role": "user"}, headers=admin.headers).status_code == 404
    assert client.put(role, json={"role": "analyst"}, headers=admin.headers).json()["role"] == "analyst"
    assert client.get("/me", headers=user.headers).status_code == 401, "a token must not keep a revoked role"
    again = log_in(client, user.username).json()
    assert client.get("/me", headers={"Authorization": f"Bearer {again['access_token']}"}).json()["role"] == "analyst"


def test_unchanged_role_keeps_the_sessions(client: TestClient, user: User, admin: User):
    role = f"/accounts/{user.username}/role"
    assert client.put(role, json={"role": "user"}, headers=admin.headers).json()["role"] == "user"
    assert client.get("/me", headers=user.headers).status_code == 200


def test_last_admin_keeps_the_role(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        role = f"/accounts/{admin.username}/role"
        assert client.put(role, json={"role": "user"}, headers=admin.headers).status_code == 409


def test_account_events_are_audited(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        other = new_user(client=client, home=isolated_home)
        log_in(client, other.username, "a wrong password 99")
        client.put(f"/accounts/{other.username}/role", json={"role": "analyst"}, headers=admin.headers)
    events = {
        row.event: row
        for row in isolated_home.run("select * from service.audit_events where event <> 'model_promoted'")
    }
    assert {"account_registered", "login", "login_failed", "role_changed"} <= set(events)
    assert events["role_changed"].detail == {"by": admin.username, "before": "user", "after": "analyst"}
    assert events["login_failed"].detail is None
    assert all(row.request_id for row in events.values())


@pytest.mark.parametrize(("method", "path"), [("GET", "/me"), ("POST", "/me/password"), ("POST", "/logout")])
def test_token_of_an_unknown_account_causes_no_server_error(client: TestClient, method: str, path: str):
    """Tokens outlive a database that is replaced: the key comes from the settings."""
    service = ServiceSettings()
    keys = load_keys(Settings(secret_key=SecretStr(KEY), database_url=SecretStr("postgresql://x")), service)
    token = Tokens(keys, minutes=5).issue(
        account_id=2**40, username="nobody", role="user", session_id=str(uuid.uuid4())
    )
    body = {"current_password": PASSWORD, "new_password": "another long sentence 8"}
    response = client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code in (204, 401, 403), response.text
    assert path != "/me" or response.status_code == 401


def test_probing_for_taken_names_is_throttled(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        bodies = [{"username": "registered", "password": PASSWORD}] * 11
        statuses = [client.post("/register", json=body).status_code for body in bodies]
        assert statuses == [201] + [409] * 10
        longer = "update service.throttle set blocked_until = blocked_until + interval '1 minute'"
        isolated_home.run(longer + " where blocked_until > last_at")
        body = {"username": "another-name", "password": PASSWORD}
        assert client.post("/register", json=body).status_code == 429, "a free name is not told apart by then"


def test_many_accounts_can_be_registered_from_one_network(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        for n in range(40):
            assert client.post("/register", json={"username": f"name-{n}", "password": PASSWORD}).status_code == 201


def test_registration_hashes_the_password_of_a_taken_name_as_well(isolated_home: ServiceHome):
    """The time of a response reveals no more than the response."""

    async def register_twice() -> list[int]:
        async with auth_components(isolated_home) as components:
            hashed = []
            for _ in range(2):
                with contextlib.suppress(ConflictError):
                    await components.accounts.register("registered", PASSWORD, address="192.0.2.1")
                hashed.append(components.passwords.hashed)
            return hashed

    assert asyncio.run(register_twice()) == [1, 2]


@pytest.mark.parametrize("name", ["registered", "REGISTERED"])
def test_audit_has_no_event_of_a_refused_registration(isolated_home: ServiceHome, name: str):
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "registered", "password": PASSWORD})
        assert client.post("/register", json={"username": name, "password": PASSWORD}).status_code == 409
    count = "select count(*) from service.audit_events where event = 'account_registered'"
    assert isolated_home.run(count) == [(1,)]
