"""Password policy and hashing."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, log_in


@pytest.mark.parametrize(
    ("password", "reason"),
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
def test_common_and_short_passwords_are_refused(client: TestClient, password: str, reason: str):
    response = client.post("/register", json={"username": "somebody", "password": password})
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert errors[0]["field"] == "password"
    assert reason in errors[0]["message"]


def test_password_made_of_the_username_is_refused(client: TestClient):
    response = client.post("/register", json={"username": "rumpelstilz", "password": "rumpelstilz42"})
    assert response.status_code == 422


@pytest.mark.parametrize("password", ["пароль из слов и букв", "tiny but spaced words", "correct-horse-battery!"])
def test_policy_has_no_composition_rules(client: TestClient, password: str):
    name = f"any-{abs(hash(password))}"
    assert client.post("/register", json={"username": name, "password": password}).status_code == 201
    assert log_in(client, name, password).status_code == 200


def test_composed_and_decomposed_accents_are_equal(client: TestClient):
    composed, decomposed = "caf\u00e9 au lait s'il vous pla\u00eet", "cafe\u0301 au lait s'il vous plai\u0302t"
    client.post("/register", json={"username": "cafe-guest", "password": composed})
    assert log_in(client, "cafe-guest", decomposed).status_code == 200


def test_unknown_user_and_wrong_password_have_equal_responses_and_times(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=19_456, argon2_iterations=2) as client:
        client.post("/register", json={"username": "known", "password": PASSWORD})
        times: dict[str, list[float]] = {"known": [], "unknown": []}
        responses = set()
        for _ in range(12):
            for name in times:
                isolated_home.run("delete from service.throttle")
                started = time.perf_counter()
                response = log_in(client, name, "not the password at all")
                times[name].append(time.perf_counter() - started)
                body = response.json()
                responses.add((response.status_code, body["title"], body["detail"]))
    assert len(responses) == 1
    known, unknown = statistics.median(times["known"]), statistics.median(times["unknown"])
    assert abs(known - unknown) < 0.35 * max(known, unknown)


def test_hashes_are_argon2id_with_owasps_minimum_by_default(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=19_456, argon2_iterations=2, argon2_parallelism=1) as client:
        client.post("/register", json={"username": "careful", "password": PASSWORD})
    ((encoded,),) = isolated_home.run("select password_hash from service.accounts where username = 'careful'")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_login_renews_a_hash_with_other_parameters(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_iterations=1) as client:
        client.post("/register", json={"username": "early", "password": PASSWORD})
    with isolated_home.worker(argon2_iterations=3) as client:
        assert log_in(client, "early").status_code == 200
        assert log_in(client, "early").status_code == 200
    ((encoded,),) = isolated_home.run("select password_hash from service.accounts where username = 'early'")
    assert "t=3" in encoded


def test_hashing_does_not_block_the_event_loop(isolated_home: ServiceHome):
    with isolated_home.worker(argon2_memory_kib=65_536, argon2_iterations=12) as client:
        slowest = 0.0
        with ThreadPoolExecutor(6) as pool:
            logins = [pool.submit(log_in, client, f"n-{n}", "wrong password 123") for n in range(6)]
            while not all(login.done() for login in logins):
                started = time.perf_counter()
                assert client.get("/health/live").status_code == 200
                slowest = max(slowest, time.perf_counter() - started)
        fastest_login = min(login.result().elapsed.total_seconds() for login in logins)
    assert slowest < fastest_login
