"""Throttling of logins: across workers and restarts, with a growing and bounded wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from logitrack_service.http.addresses import network_of
from logitrack_tests.service.conftest import PASSWORD, ServiceHome, log_in


def test_wrong_passwords_are_throttled_in_every_worker_and_after_a_restart(isolated_home: ServiceHome):
    with isolated_home.worker() as first, isolated_home.worker() as second:
        first.post("/register", json={"username": "victim", "password": PASSWORD})
        statuses = [log_in(worker, "victim", "wrong password 123").status_code for worker in [first, second] * 5]
        assert statuses[:5] == [401] * 5
        assert statuses[-1] == 429
        # On a busy machine the wait would end before the next worker has started.
        isolated_home.run("update service.throttle set blocked_until = now() + interval '1 minute' where attempts >= 5")
    with isolated_home.worker() as restarted:
        blocked = log_in(restarted, "victim")
        assert blocked.status_code == 429, "the right password is blocked too: else the block would reveal it"
        assert 1 <= int(blocked.headers["retry-after"]) <= 300
        isolated_home.run("update service.throttle set blocked_until = now()")
        assert log_in(restarted, "victim").status_code == 200, "no account is locked permanently"
        assert log_in(restarted, "victim").status_code == 200


def test_wait_doubles_up_to_its_maximum(isolated_home: ServiceHome):
    waits = []
    with isolated_home.worker() as client:
        for _ in range(16):
            response = log_in(client, "unknown-user", "wrong password 123")
            if response.status_code == 429:
                pytest.fail("the block was lifted, yet the attempt was refused")
            ((wait,),) = isolated_home.run(
                "select extract(epoch from blocked_until - last_at)::float8 from service.throttle"
                " where kind = 'login_pair'"
            )
            waits.append(wait)
            isolated_home.run("update service.throttle set blocked_until = now()")
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:8] == [1, 2, 4, 8]
    assert max(waits) == 300


def test_count_starts_again_after_an_hour_without_attempts(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        for _ in range(6):
            log_in(client, "unknown-user", "wrong password 123")
            isolated_home.run("update service.throttle set blocked_until = now(), last_at = now()")
        isolated_home.run("update service.throttle set last_at = now() - interval '61 minutes'")
        assert log_in(client, "unknown-user", "wrong password 123").status_code == 401
    attempts = "select attempts, blocked_until = last_at from service.throttle where kind = 'login_pair'"
    assert isolated_home.run(attempts) == [(1, True)]


def test_concurrent_guesses_are_all_counted(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        client.post("/register", json={"username": "swarmed", "password": PASSWORD})
        with ThreadPoolExecutor(30) as pool:
            statuses = list(pool.map(lambda n: log_in(client, "swarmed", f"guess number {n}!").status_code, range(30)))
    assert statuses.count(401) <= 6
    assert statuses.count(429) >= 24


def test_one_address_with_many_usernames_is_throttled(isolated_home: ServiceHome):
    with isolated_home.worker() as client:
        statuses = [log_in(client, f"name-{n}", "wrong password 123").status_code for n in range(110)]
    assert 429 in statuses


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("testclient", "testclient"),
        ("x" * 100, "x" * 64),
        ("", "unknown"),
    ],
)
def test_network_of_an_address(address: str, network: str):
    assert network_of(address) == network
