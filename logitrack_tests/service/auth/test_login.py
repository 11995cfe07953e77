"""Sessions: refresh tokens that work once, and logouts that take effect in every worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User, log_in


def test_refresh_token_is_exchanged_for_a_new_pair(client: TestClient, user: User):
    first = user.tokens["refresh_token"]
    renewed = client.post("/token/refresh", json={"refresh_token": first})
    assert renewed.status_code == 200
    assert renewed.json()["refresh_token"] != first
    headers = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 200


def test_reused_refresh_token_revokes_the_session(client: TestClient, user: User):
    stolen = user.tokens["refresh_token"]
    renewed = client.post("/token/refresh", json={"refresh_token": stolen}).json()
    assert client.post("/token/refresh", json={"refresh_token": stolen}).status_code == 401
    assert client.post("/token/refresh", json={"refresh_token": renewed["refresh_token"]}).status_code == 401
    headers = {"Authorization": f"Bearer {renewed['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 401


def test_concurrent_exchanges_of_a_refresh_token_succeed_once(client: TestClient, user: User):
    token = {"refresh_token": user.tokens["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: client.post("/token/refresh", json=token).status_code, range(8)))
    assert statuses.count(200) == 1


def test_refresh_token_of_an_expired_session_is_refused(service_home: ServiceHome, client: TestClient, user: User):
    service_home.run(
        "update service.sessions set expires_at = now() where account_id ="
        " (select account_id from service.accounts where username = :username)",
        username=user.username,
    )
    body = {"refresh_token": user.tokens["refresh_token"]}
    assert client.post("/token/refresh", json=body).status_code == 401


def test_refresh_tokens_are_not_stored(service_home: ServiceHome, user: User):
    stored = str(service_home.run("select * from service.refresh_tokens")) + str(
        service_home.run("select * from service.sessions")
    )
    assert user.tokens["refresh_token"] not in stored


def test_access_and_refresh_tokens_are_not_interchangeable(client: TestClient, user: User):
    headers = {"Authorization": f"Bearer {user.tokens['refresh_token']}"}
    assert client.get("/me", headers=headers).status_code == 401
    body = {"refresh_token": user.tokens["access_token"][:200]}
    assert client.post("/token/refresh", json=body).status_code == 401


def test_logout_takes_effect_immediately_in_every_worker(
    service_home: ServiceHome, client: TestClient, new_user: Callable[..., User]
):
    with service_home.worker() as other:
        for _ in range(10):
            user = new_user()
            assert other.get("/me", headers=user.headers).status_code == 200
            assert client.post("/logout", headers=user.headers).status_code == 204
            assert other.get("/me", headers=user.headers).status_code == 401
            assert client.get("/me", headers=user.headers).status_code == 401
            body = {"refresh_token": user.tokens["refresh_token"]}
            assert other.post("/token/refresh", json=body).status_code == 401


def test_logout_everywhere_ends_every_session(client: TestClient, user: User):
    elsewhere = log_in(client, user.username).json()
    assert client.post("/logout/everywhere", headers=user.headers).status_code == 204
    headers = {"Authorization": f"Bearer {elsewhere['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 401


def test_logout_keeps_other_sessions(client: TestClient, user: User):
    elsewhere = log_in(client, user.username).json()
    client.post("/logout", headers=user.headers)
    headers = {"Authorization": f"Bearer {elsewhere['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 200


def test_login_deletes_sessions_that_expired_a_day_ago(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        isolated_home.run("update service.sessions set expires_at = now() - interval '25 hours'")
        assert log_in(client, user.username).status_code == 200
    assert isolated_home.run("select count(*) from service.sessions") == [(1,)]
