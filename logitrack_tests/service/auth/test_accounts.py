"""Registration, roles and the audit of accounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User, log_in


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


@pytest.mark.parametrize("name", ["registered", "REGISTERED"])
def test_audit_has_no_event_of_a_refused_registration(isolated_home: ServiceHome, name: str):
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "registered", "password": PASSWORD})
        assert client.post("/register", json={"username": name, "password": PASSWORD}).status_code == 409
    count = "select count(*) from service.audit_events where event = 'account_registered'"
    assert isolated_home.run(count) == [(1,)]
