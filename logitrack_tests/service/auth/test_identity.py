"""Controls of identity, each attacked."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User, log_in

OPEN = {
    "/", "/docs", "/assets/{name:str}", "/register", "/token", "/token/refresh",
    "/health/live", "/health/ready", "/metrics", "/schema", "/schema/openapi.json",
}  # fmt: skip


def test_register_log_in_and_be_known(client: TestClient, user: User):
    assert user.tokens["token_type"] == "bearer"
    assert user.tokens["expires_in"] == 900
    me = client.get("/me", headers=user.headers).json()
    assert (me["username"], me["role"]) == (user.username, "user")


def test_only_what_must_be_open_is_open(client: TestClient):
    opened = set()
    for route in client.app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        path = re.sub(r"{\w+:\w+}", "x", route.path)
        for method in route.methods - {"OPTIONS"}:
            response = client.request(method, path)
            if response.status_code != 401:
                opened.add(route.path)
            else:
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert response.headers["content-type"] == "application/problem+json"
    assert {path for path in opened if not path.startswith("/schema")} <= OPEN


@pytest.mark.parametrize(
    "path", ["/health/live/../../me", "/health/me", "/me/", "/me?x=/health/live", "/ME", "/token/me"]
)
def test_no_path_sneaks_past_the_token(client: TestClient, path: str):
    assert client.get(path).status_code in (401, 404, 405)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000, "Bearer é", "bearer null"]
)
def test_what_is_no_token_is_a_401_with_a_challenge(client: TestClient, header: str):
    response = client.get("/me", headers={"Authorization": header.encode()})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "length"),
        ("x" * 129, "length"),
        ("aaaaaaaaaaaaaaaa", "repeats"),
        ("qwertyuiop123", "common"),
        ("password1234", "common"),
        ("1q2w3e4r5t6y", "common"),
        ("PASSWORD1234", "common"),
    ],
)
def test_passwords_that_attackers_try_first_are_refused(client: TestClient, password: str, why: str):
    response = client.post("/register", json={"username": "somebody", "password": password})
    assert response.status_code == 422
    wrong = response.json()["errors"]
    assert wrong[0]["field"] == "password"
    assert why in wrong[0]["message"]


def test_a_password_made_of_the_name_is_refused(client: TestClient):
    response = client.post("/register", json={"username": "rumpelstilz", "password": "rumpelstilz42"})
    assert response.status_code == 422


@pytest.mark.parametrize("password", ["пароль из слов и букв", "tiny but spaced words", "correct-horse-battery!"])
def test_there_are_no_rules_about_characters(client: TestClient, password: str):
    name = f"any-{abs(hash(password))}"
    assert client.post("/register", json={"username": name, "password": password}).status_code == 201
    assert log_in(client, name, password).status_code == 200


def test_accents_may_be_typed_either_way(client: TestClient):
    composed, decomposed = "caf\u00e9 au lait s'il vous pla\u00eet", "cafe\u0301 au lait s'il vous plai\u0302t"
    client.post("/register", json={"username": "cafe-guest", "password": composed})
    assert log_in(client, "cafe-guest", decomposed).status_code == 200


def test_names_differ_by_more_than_case(client: TestClient, user: User):
    response = client.post("/register", json={"username": user.username.upper(), "password": PASSWORD})
    assert response.status_code == 409


def test_nobody_registers_as_admin(client: TestClient):
    body = {"username": "mallory", "password": PASSWORD, "role": "admin"}
    response = client.post("/register", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "role"


def test_an_unknown_user_and_a_wrong_password_look_alike_and_take_as_long(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=19_456, argon2_iterations=2) as client:
        client.post("/register", json={"username": "known", "password": PASSWORD})
        times: dict[str, list[float]] = {"known": [], "unknown": []}
        answers = set()
        for _ in range(12):
            for name in times:
                isolated_home.run("delete from service.throttle")
                began = time.perf_counter()
                response = log_in(client, name, "not the password at all")
                times[name].append(time.perf_counter() - began)
                body = response.json()
                answers.add((response.status_code, body["title"], body["detail"]))
    assert len(answers) == 1
    known, unknown = statistics.median(times["known"]), statistics.median(times["unknown"])
    assert abs(known - unknown) < 0.35 * max(known, unknown)


def test_hashes_are_argon2id_with_owasps_minimum_by_default(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=19_456, argon2_iterations=2, argon2_parallelism=1) as client:
        client.post("/register", json={"username": "careful", "password": PASSWORD})
    ((encoded,),) = isolated_home.run("select password_hash from service.accounts where username = 'careful'")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_login_renews_a_hash_of_other_parameters(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_iterations=1) as client:
        client.post("/register", json={"username": "early", "password": PASSWORD})
    with isolated_home.worker(argon2_iterations=3) as client:
        assert log_in(client, "early").status_code == 200
        assert log_in(client, "early").status_code == 200
    ((encoded,),) = isolated_home.run("select password_hash from service.accounts where username = 'early'")
    assert "t=3" in encoded


def test_guessing_is_slowed_down_in_every_worker_and_after_a_restart(isolated_home: ServiceHome):
    with isolated_home.worker() as first, isolated_home.worker() as second:
        first.post("/register", json={"username": "victim", "password": PASSWORD})
        statuses = [log_in(worker, "victim", "wrong password 123").status_code for worker in [first, second] * 5]
        assert statuses[:5] == [401] * 5
        assert statuses[-1] == 429
    with isolated_home.worker() as restarted:
        blocked = log_in(restarted, "victim")
        assert blocked.status_code == 429, "the right password has to wait as well: else it would be told apart"
        assert 1 <= int(blocked.headers["retry-after"]) <= 300
        isolated_home.run("update service.throttle set blocked_until = now()")
        assert log_in(restarted, "victim").status_code == 200, "nobody is locked out for good"
        assert log_in(restarted, "victim").status_code == 200


def test_the_wait_grows_and_has_an_end(isolated_home: ServiceHome):
    waits = []
    with isolated_home.worker() as client:
        for _ in range(16):
            response = log_in(client, "nobody-at-all", "wrong password 123")
            if response.status_code == 429:
                pytest.fail("the block was lifted, yet the attempt was refused")
            ((wait,),) = isolated_home.run(
                "select extract(epoch from blocked_until - last_at)::float8 from service.throttle"
                " where kind = 'login_account'"
            )
            waits.append(wait)
            isolated_home.run("update service.throttle set blocked_until = now()")
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:8] == [1, 2, 4, 8]
    assert max(waits) == 300


def test_guesses_sent_at_once_are_all_counted(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "swarmed", "password": PASSWORD})
        with ThreadPoolExecutor(30) as pool:
            statuses = list(pool.map(lambda n: log_in(client, "swarmed", f"guess number {n}!").status_code, range(30)))
    assert statuses.count(401) <= 6
    assert statuses.count(429) >= 24


def test_one_address_trying_many_names_is_slowed_down(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        statuses = [log_in(client, f"name-{n}", "wrong password 123").status_code for n in range(40)]
    assert 429 in statuses


def test_the_event_loop_does_not_wait_for_hashing(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=65_536, argon2_iterations=12) as client:
        slowest = 0.0
        with ThreadPoolExecutor(6) as pool:
            logins = [pool.submit(log_in, client, f"n-{n}", "wrong password 123") for n in range(6)]
            while not all(login.done() for login in logins):
                began = time.perf_counter()
                assert client.get("/health/live").status_code == 200
                slowest = max(slowest, time.perf_counter() - began)
        took = min(login.result().elapsed.total_seconds() for login in logins)
    assert slowest < took


def test_a_refresh_token_works_once(client: TestClient, user: User):
    first = user.tokens["refresh_token"]
    renewed = client.post("/token/refresh", json={"refresh_token": first})
    assert renewed.status_code == 200
    assert renewed.json()["refresh_token"] != first
    headers = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 200


def test_a_refresh_token_used_twice_ends_the_session_for_thief_and_owner(client: TestClient, user: User):
    stolen = user.tokens["refresh_token"]
    renewed = client.post("/token/refresh", json={"refresh_token": stolen}).json()
    assert client.post("/token/refresh", json={"refresh_token": stolen}).status_code == 401
    assert client.post("/token/refresh", json={"refresh_token": renewed["refresh_token"]}).status_code == 401
    headers = {"Authorization": f"Bearer {renewed['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 401


def test_a_refresh_token_raced_for_is_given_once_at_most(client: TestClient, user: User):
    token = {"refresh_token": user.tokens["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: client.post("/token/refresh", json=token).status_code, range(8)))
    assert statuses.count(200) == 1


def test_tokens_are_not_kept_in_the_database(service_home: ServiceHome, user: User):
    kept = str(service_home.run("select * from service.refresh_tokens")) + str(
        service_home.run("select * from service.sessions")
    )
    assert user.tokens["refresh_token"] not in kept


def test_access_and_refresh_tokens_are_not_interchangeable(client: TestClient, user: User):
    headers = {"Authorization": f"Bearer {user.tokens['refresh_token']}"}
    assert client.get("/me", headers=headers).status_code == 401
    body = {"refresh_token": user.tokens["access_token"][:200]}
    assert client.post("/token/refresh", json=body).status_code == 401


def test_logging_out_takes_effect_at_once_in_every_worker(
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


def test_logging_out_everywhere_ends_every_session(client: TestClient, user: User):
    elsewhere = log_in(client, user.username).json()
    assert client.post("/logout/everywhere", headers=user.headers).status_code == 204
    headers = {"Authorization": f"Bearer {elsewhere['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 401


def test_logging_out_leaves_the_other_session_alone(client: TestClient, user: User):
    elsewhere = log_in(client, user.username).json()
    client.post("/logout", headers=user.headers)
    headers = {"Authorization": f"Bearer {elsewhere['access_token']}"}
    assert client.get("/me", headers=headers).status_code == 200


def test_changing_the_password_needs_the_old_one_and_ends_sessions(client: TestClient, user: User):
    change = {"current_password": "not what it is", "new_password": "another long sentence 8"}
    assert client.post("/me/password", json=change, headers=user.headers).status_code == 403
    change["current_password"] = PASSWORD
    assert client.post("/me/password", json=change, headers=user.headers).status_code == 204
    assert client.get("/me", headers=user.headers).status_code == 401
    assert log_in(client, user.username).status_code == 401
    assert log_in(client, user.username, "another long sentence 8").status_code == 200


def test_roles_are_for_admins_to_give(client: TestClient, user: User, analyst: User, admin: User):
    role = f"/accounts/{user.username}/role"
    assert client.put(role, json={"role": "admin"}, headers=user.headers).status_code == 403
    assert client.put(role, json={"role": "admin"}, headers=analyst.headers).status_code == 403
    assert client.put(role, json={"role": "emperor"}, headers=admin.headers).status_code == 422
    assert client.put("/accounts/no-such-one/role", json={"role": "user"}, headers=admin.headers).status_code == 404
    assert client.put(role, json={"role": "analyst"}, headers=admin.headers).json()["role"] == "analyst"
    assert client.get("/me", headers=user.headers).status_code == 401, "a token must not keep a role that is gone"
    again = log_in(client, user.username).json()
    assert client.get("/me", headers={"Authorization": f"Bearer {again['access_token']}"}).json()["role"] == "analyst"


def test_the_last_admin_stays(isolated_home: ServiceHome, new_user: Callable[..., User]):
    with isolated_home.worker() as client:
        admin = new_user("admin", client=client, home=isolated_home)
        role = f"/accounts/{admin.username}/role"
        assert client.put(role, json={"role": "user"}, headers=admin.headers).status_code == 409


def test_what_happens_to_accounts_is_kept(isolated_home: ServiceHome, new_user: Callable[..., User]):
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
    assert all(row.request_id for row in events.values())
