"""Throttling of logins by account and network: guessers are slowed, owners and neighbours are not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from logitrack_service.auth import login_attempts
from logitrack_service.auth.login_attempts import LOGIN_ACCOUNT, LOGIN_NETWORK, MAX_KNOWN_NETWORKS
from logitrack_service.errors import AuthenticationError, RateLimitedError, UnavailableError
from logitrack_tests.service.auth.components import AuthComponents, auth_components
from logitrack_tests.service.conftest import PASSWORD, ServiceHome

OFFICE, ELSEWHERE = "192.0.2.10", "198.51.100.7"


async def attempt(components: AuthComponents, username: str, password: str, address: str) -> str:
    try:
        await components.login_service.login(username, password, address=address)
    except AuthenticationError:
        return "wrong"
    except RateLimitedError:
        return "refused"
    return "accepted"


async def guess(components: AuthComponents, username: str, address: str) -> str:
    return await attempt(components, username, "wrong password 123", address)


def advance(home: ServiceHome, duration: timedelta) -> None:
    """Let time pass for the throttle."""
    home.run("update service.throttle set last_at = last_at - :d, blocked_until = blocked_until - :d", d=duration)


def test_outsiders_do_not_lock_an_owner_out(isolated_home: ServiceHome):
    async def attack() -> None:
        async with auth_components(isolated_home) as components:
            await components.accounts.register("owner", PASSWORD, address=OFFICE)
            guesses = [await guess(components, "owner", ELSEWHERE) for _ in range(23)]
            assert guesses == ["wrong"] * 5 + ["refused"] * 18
            for _ in range(23):
                await guess(components, "owner", ELSEWHERE)
                assert await attempt(components, "owner", PASSWORD, OFFICE) == "accepted"

    asyncio.run(attack())


def test_guesser_behind_the_same_address_does_not_lock_a_neighbour_out(isolated_home: ServiceHome):
    async def attack() -> None:
        async with auth_components(isolated_home) as components:
            await components.accounts.register("neighbour", PASSWORD, address=OFFICE)
            guesses = [await guess(components, f"name-{n}", OFFICE) for n in range(LOGIN_NETWORK.burst + 10)]
            assert guesses == ["wrong"] * LOGIN_NETWORK.burst + ["refused"] * 10
            assert await attempt(components, "neighbour", PASSWORD, OFFICE) == "accepted"
            assert await guess(components, "neighbour", OFFICE) == "wrong"

    asyncio.run(attack())


@pytest.mark.parametrize("known", [True, False], ids=["known network", "first login from the network"])
def test_colleagues_behind_one_address_log_in_at_the_same_time(isolated_home: ServiceHome, known: bool):
    async def log_in_together() -> None:
        async with auth_components(isolated_home) as components:
            names = [f"colleague-{n}" for n in range(40)]
            for name in names:
                await components.accounts.register(name, PASSWORD, address=OFFICE if known else ELSEWHERE)
            results = await asyncio.gather(*(attempt(components, name, PASSWORD, OFFICE) for name in names))
            assert results == ["accepted"] * 40

    asyncio.run(log_in_together())


def test_distributed_guesser_is_slowed_and_the_owner_is_not(isolated_home: ServiceHome):
    """Each guess comes from a network of its own; two hours pass in steps of five minutes."""

    async def attack() -> int:
        verified = 0
        async with auth_components(isolated_home) as components:
            await components.accounts.register("owner", PASSWORD, address=OFFICE)
            for step in range(24):
                for n in range(4 if step else 40):
                    verified += await guess(components, "owner", f"2001:db8:{step:x}:{n:x}::1") == "wrong"
                if step % 6 == 0:
                    assert await attempt(components, "owner", PASSWORD, OFFICE) == "accepted"
                    assert await attempt(components, "owner", PASSWORD, "203.0.113.9") == "refused"
                advance(isolated_home, timedelta(minutes=5))
        return verified

    assert LOGIN_ACCOUNT.burst < asyncio.run(attack()) <= LOGIN_ACCOUNT.burst + 2 * 12


def test_login_from_a_new_network_makes_it_known(isolated_home: ServiceHome):
    async def move() -> None:
        async with auth_components(isolated_home) as components:
            await components.accounts.register("owner", PASSWORD, address=OFFICE)
            assert await attempt(components, "owner", PASSWORD, "2001:db8::1") == "accepted"
            for n in range(30):
                await guess(components, "owner", f"198.51.100.{n}")
            assert await attempt(components, "owner", PASSWORD, "2001:db8::2") == "accepted", "the same /64"
            assert await attempt(components, "owner", PASSWORD, "203.0.113.9") == "refused"
            isolated_home.run("update service.known_networks set last_login_at = now() - interval '91 days'")
            assert await attempt(components, "owner", PASSWORD, OFFICE) == "refused", "forgotten"

    asyncio.run(move())


def test_number_of_known_networks_is_bounded(isolated_home: ServiceHome):
    async def roam() -> None:
        async with auth_components(isolated_home) as components:
            await components.accounts.register("owner", PASSWORD, address=OFFICE)
            for n in range(MAX_KNOWN_NETWORKS + 5):
                assert await attempt(components, "owner", PASSWORD, f"203.0.113.{n}") == "accepted"

    asyncio.run(roam())
    networks = [row.network for row in isolated_home.run("select network from service.known_networks")]
    assert len(networks) == MAX_KNOWN_NETWORKS
    assert OFFICE not in networks


def test_unverified_attempt_does_not_count(isolated_home: ServiceHome, monkeypatch: pytest.MonkeyPatch):
    async def overload() -> None:
        async with auth_components(isolated_home) as components:
            with monkeypatch.context() as patch:
                patch.setattr("logitrack_service.auth.passwords.MAX_WAITING_HASHES", 0)
                for _ in range(8):
                    with pytest.raises(UnavailableError):
                        await guess(components, "owner", OFFICE)
            assert await guess(components, "owner", OFFICE) == "wrong"

    asyncio.run(overload())
    assert {row.attempts for row in isolated_home.run("select attempts from service.throttle")} == {1}


def test_expired_counts_are_deleted(isolated_home: ServiceHome):
    async def guess_names() -> None:
        async with auth_components(isolated_home) as components:
            for n in range(10):
                await guess(components, f"name-{n}", ELSEWHERE)
            advance(isolated_home, timedelta(hours=2))
            for _ in range(2):
                await guess(components, "another", OFFICE)

    asyncio.run(guess_names())
    assert len(isolated_home.run("select 1 from service.throttle")) == 3


def test_pairs_of_networks_and_names_are_distinct():
    pairs = {login_attempts.LoginAttempt(name, network, known=True).pair for name, network in [("b", "a"), ("a", "b")]}
    assert len(pairs) == 2
