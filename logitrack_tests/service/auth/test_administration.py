"""Administration of accounts and sessions over HTTP, and the limits of sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User, log_in

TRIP = {"pickup_zone": 161, "dropoff_zone": 132}
NEW_PASSWORD = "another long sentence 8"


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/accounts", None),
        ("PUT", "/accounts/{name}/vouched", {"vouched": True}),
        ("PUT", "/accounts/{name}/disabled", {"disabled": True}),
        ("PUT", "/accounts/{name}/password", {"new_password": NEW_PASSWORD}),
        ("DELETE", "/accounts/{name}", None),
        ("GET", "/accounts/{name}/sessions", None),
        ("DELETE", "/accounts/{name}/sessions", None),
        ("DELETE", "/accounts/{name}/sessions/00000000-0000-4000-8000-000000000000", None),
    ],
)
def test_administration_requires_the_role_admin(
    client: TestClient, user: User, analyst: User, admin: User, method: str, path: str, body: Any
):
    own = path.format(name=analyst.username)
    assert client.request(method, own, json=body, headers=analyst.headers).status_code == 403
    assert client.get("/me", headers=analyst.headers).status_code == 200
    if "{name}" in path:
        unknown = path.format(name="no-such-one")
        assert client.request(method, unknown, json=body, headers=admin.headers).status_code == 404


def test_accounts_are_listed_in_pages(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        for name in ("Zoe", "bob", "Alice"):
            client.post("/register", json={"username": name, "password": PASSWORD})
        names, after = [], {}
        for _ in range(2):
            page = client.get("/accounts", params={"limit": 2, **after}, headers=admin.headers).json()
            names += [row["username"] for row in page["rows"]]
            after = {"after": page["next"]}
        assert names == [admin.username, "Alice", "bob", "Zoe"]
        assert page["next"] is None
        assert set(page["rows"][0]) == {"username", "role", "created_at", "vouched", "disabled"}


def test_disabled_account_cannot_log_in_until_it_is_enabled(client: TestClient, user: User, admin: User):
    path = f"/accounts/{user.username.upper()}/disabled"
    assert client.put(path, json={"disabled": True}, headers=admin.headers).json()["disabled"] is True
    assert client.get("/me", headers=user.headers).status_code == 401
    assert client.post("/token/refresh", json={"refresh_token": user.tokens["refresh_token"]}).status_code == 401
    refused = log_in(client, user.username)
    assert (refused.status_code, "disabled" in refused.json()["detail"]) == (401, True)
    assert "disabled" not in log_in(client, user.username, "wrong password 123").json()["detail"]
    assert client.put(path, json={"disabled": False}, headers=admin.headers).json()["disabled"] is False
    assert log_in(client, user.username).status_code == 200


def test_password_given_by_an_admin_ends_the_sessions(client: TestClient, user: User, admin: User):
    path = f"/accounts/{user.username}/password"
    weak = client.put(path, json={"new_password": "password1234"}, headers=admin.headers)
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "new_password")
    assert client.put(path, json={"new_password": NEW_PASSWORD}, headers=admin.headers).status_code == 204
    assert client.get("/me", headers=user.headers).status_code == 401
    assert log_in(client, user.username).status_code == 401
    assert log_in(client, user.username, NEW_PASSWORD).status_code == 200


def test_tokens_of_a_deleted_account_are_refused_in_every_worker(
    service_home: ServiceHome, client: TestClient, user: User, admin: User
):
    with service_home.worker() as other:
        assert other.post("/predict", json=TRIP, headers=user.headers).status_code == 200
        assert client.delete(f"/accounts/{user.username}", headers=admin.headers).status_code == 204
        for worker in (client, other):
            assert worker.post("/predict", json=TRIP, headers=user.headers).status_code == 401
            assert log_in(worker, user.username).status_code == 401
        body = {"refresh_token": user.tokens["refresh_token"]}
        assert other.post("/token/refresh", json=body).status_code == 401
    again = client.post("/register", json={"username": user.username, "password": PASSWORD})
    assert again.status_code == 201, "the name is free, for an account with another id"
    assert client.post("/predict", json=TRIP, headers=user.headers).status_code == 401


def test_vouching_keeps_the_sessions(client: TestClient, user: User, admin: User):
    assert client.get("/me", headers=user.headers).json()["vouched"] is False
    path = f"/accounts/{user.username}/vouched"
    assert client.put(path, json={"vouched": True}, headers=admin.headers).json()["vouched"] is True
    assert client.get("/me", headers=user.headers).json()["vouched"] is True


@pytest.mark.parametrize("change", ["role", "disable", "delete"])
def test_last_enabled_admin_stays(isolated_home: ServiceHome, new_user: Callable[..., User], change: str):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        disabled = new_user("admin", client=client, home=isolated_home)
        path = f"/accounts/{disabled.username}/disabled"
        assert client.put(path, json={"disabled": True}, headers=admin.headers).status_code == 200
        path = f"/accounts/{admin.username}"
        if change == "role":
            response = client.put(f"{path}/role", json={"role": "user"}, headers=admin.headers)
        elif change == "disable":
            response = client.put(f"{path}/disabled", json={"disabled": True}, headers=admin.headers)
        else:
            response = client.delete(path, headers=admin.headers)
        assert response.status_code == 409
        assert client.get("/me", headers=admin.headers).status_code == 200


def test_owner_lists_and_ends_sessions(client: TestClient, user: User):
    elsewhere = log_in(client, user.username).json()
    sessions = client.get("/me/sessions", headers=user.headers).json()
    assert [session["current"] for session in sessions] == [False, True], "the most recent one first"
    assert sessions[0]["network"] == "testclient"
    path = f"/me/sessions/{sessions[0]['session_id']}"
    assert client.delete(path, headers=user.headers).status_code == 204
    assert client.get("/me", headers=bearer(elsewhere)).status_code == 401
    assert client.delete(path, headers=user.headers).status_code == 404
    assert len(client.get("/me/sessions", headers=user.headers).json()) == 1


def test_nobody_ends_a_session_of_another_account(client: TestClient, user: User, analyst: User):
    (session,) = client.get("/me/sessions", headers=user.headers).json()
    path = f"/me/sessions/{session['session_id']}"
    assert client.delete(path, headers=analyst.headers).status_code == 404
    assert client.get("/me", headers=user.headers).status_code == 200


def test_admin_lists_and_ends_sessions(client: TestClient, user: User, admin: User):
    path = f"/accounts/{user.username}/sessions"
    log_in(client, user.username)
    first, second = client.get(path, headers=admin.headers).json()
    assert client.delete(f"{path}/{first['session_id']}", headers=admin.headers).status_code == 204
    assert [row["session_id"] for row in client.get(path, headers=admin.headers).json()] == [second["session_id"]]
    assert client.delete(path, headers=admin.headers).status_code == 204
    assert client.get(path, headers=admin.headers).json() == []
    assert client.get("/me", headers=user.headers).status_code == 401


def test_least_recently_used_session_ends_when_there_are_too_many(
    isolated_home: ServiceHome, new_user: Callable[..., User]
):
    with isolated_home.worker(max_sessions_per_account=3) as client:
        user = new_user(client=client, home=isolated_home)
        second = log_in(client, user.username).json()
        log_in(client, user.username)
        renewed = client.post("/token/refresh", json={"refresh_token": user.tokens["refresh_token"]}).json()
        log_in(client, user.username)
        assert len(client.get("/me/sessions", headers=bearer(renewed)).json()) == 3
        assert client.post("/token/refresh", json={"refresh_token": second["refresh_token"]}).status_code == 401
        assert client.post("/token/refresh", json={"refresh_token": renewed["refresh_token"]}).status_code == 200


def test_idle_session_ends(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker(session_idle_hours=48) as client:
        user = new_user(client=client, home=isolated_home)
        age = "update service.sessions set last_used_at = last_used_at - interval '47 hours'"
        isolated_home.run(age)
        renewed = client.post("/token/refresh", json={"refresh_token": user.tokens["refresh_token"]})
        assert renewed.status_code == 200, "a refresh is use"
        for _ in range(2):
            isolated_home.run(age)
        assert client.get("/me/sessions", headers=bearer(renewed.json())).json() == []
        idle = client.post("/token/refresh", json={"refresh_token": renewed.json()["refresh_token"]})
        assert idle.status_code == 401


def test_changes_by_admins_are_audited(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        user = new_user(client=client, home=isolated_home)
        path = f"/accounts/{user.username}"
        client.put(f"{path}/vouched", json={"vouched": True}, headers=admin.headers)
        client.put(f"{path}/password", json={"new_password": NEW_PASSWORD}, headers=admin.headers)
        client.delete(f"{path}/sessions", headers=admin.headers)
        client.put(f"{path}/disabled", json={"disabled": True}, headers=admin.headers)
        client.delete(path, headers=admin.headers)
    rows = isolated_home.run(
        "select event, detail ->> 'by' as by from service.audit_events"
        " where detail ? 'by' and event <> 'model_promoted' order by event_id"
    )
    assert [row.event for row in rows] == [
        "account_vouched",
        "password_set",
        "sessions_ended",
        "account_disabled",
        "account_deleted",
    ]
    assert {row.by for row in rows} == {admin.username}
