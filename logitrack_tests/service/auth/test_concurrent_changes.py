"""Changes of an account while a login or a refresh of it is in flight: no session outlives the change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from logitrack_service.auth import login as login_module
from logitrack_service.auth.accounts import Account
from logitrack_service.auth.administration import Actor
from logitrack_service.auth.login import Login
from logitrack_service.errors import AuthenticationError, PermissionDeniedError
from logitrack_tests.service.auth.components import AuthComponents, auth_components, identity
from logitrack_tests.service.conftest import PASSWORD, ServiceHome

NEW_PASSWORD = "another long sentence 8"
ADMIN = Actor("other-admin", "192.0.2.1")
Interruption = Callable[["AuthComponents", Account], Awaitable[None]]


async def change_password(components: AuthComponents, account: Account) -> None:
    await components.password_changer.change(identity(account), PASSWORD, NEW_PASSWORD, address="192.0.2.1")


async def demote(components: AuthComponents, account: Account) -> None:
    await components.administration.set_role(account.username, "user", actor=ADMIN)


async def disable(components: AuthComponents, account: Account) -> None:
    await components.administration.set_disabled(account.username, True, actor=ADMIN)


async def set_password(components: AuthComponents, account: Account) -> None:
    await components.administration.set_password(account.username, NEW_PASSWORD, actor=ADMIN)


async def delete(components: AuthComponents, account: Account) -> None:
    await components.administration.delete(account.username, actor=ADMIN)


async def log_in_while(home: ServiceHome, interruption: Interruption) -> Login:
    """Log an admin in and run the interruption while the login is in flight."""
    async with auth_components(home) as components:
        await components.accounts.create_admin("other-admin", PASSWORD)
        account = await components.accounts.create_admin("chief", PASSWORD)
        components.passwords.interruption = lambda: interruption(components, account)
        return await components.login_service.login("chief", PASSWORD, address="192.0.2.2")


def count_active_sessions(home: ServiceHome) -> int:
    ((count,),) = home.run("select count(*) from service.sessions where revoked_at is null")
    return count


@pytest.mark.parametrize("interruption", [change_password, set_password, disable, delete])
def test_login_in_flight_does_not_survive_a_change(isolated_home: ServiceHome, interruption: Interruption):
    with pytest.raises(AuthenticationError):
        asyncio.run(log_in_while(isolated_home, interruption))
    assert count_active_sessions(isolated_home) == 0


def test_login_in_flight_during_a_demotion_has_the_new_role(isolated_home: ServiceHome):
    login = asyncio.run(log_in_while(isolated_home, demote))
    assert login.account.role == "user"


def test_password_change_in_flight_does_not_undo_another_one(isolated_home: ServiceHome):
    """Whoever holds the previous password cannot replace the new one with a request sent before it was set."""

    async def change_twice() -> None:
        async with auth_components(isolated_home) as components:
            account = await components.accounts.create_admin("chief", PASSWORD)
            components.passwords.interruption = lambda: change_password(components, account)
            with pytest.raises(PermissionDeniedError, match="changed by another request"):
                await components.password_changer.change(
                    identity(account), PASSWORD, "the previous owner's choice", address="192.0.2.3"
                )
            await components.login_service.login("chief", NEW_PASSWORD, address="192.0.2.1")

    asyncio.run(change_twice())


def test_login_in_flight_survives_a_rehash(isolated_home: ServiceHome):
    """Two logins at once may both renew an outdated hash: the password is still right."""

    async def rehash(components: AuthComponents, account: Account) -> None:
        encoded = await components.passwords.hash(PASSWORD)
        isolated_home.run("update service.accounts set password_hash = :h where username = 'chief'", h=encoded)

    assert asyncio.run(log_in_while(isolated_home, rehash)).account.username == "chief"


@pytest.mark.parametrize("interruption", [change_password, demote, disable, delete])
def test_refresh_in_flight_does_not_survive_a_change(
    isolated_home: ServiceHome, interruption: Interruption, monkeypatch: pytest.MonkeyPatch
):
    """The change commits after the refresh token has been read and before it is exchanged."""
    lock_refresh_token = login_module.lock_refresh_token

    async def refresh_while_changed() -> None:
        async with auth_components(isolated_home) as components:
            await components.accounts.create_admin("other-admin", PASSWORD)
            account = await components.accounts.create_admin("chief", PASSWORD)
            login = await components.login_service.login("chief", PASSWORD, address="192.0.2.2")

            async def lock_then_interrupt(connection, refresh_token):
                stored = await lock_refresh_token(connection, refresh_token)
                await interruption(components, account)
                return stored

            monkeypatch.setattr(login_module, "lock_refresh_token", lock_then_interrupt)
            await components.login_service.refresh(login.credential, address="192.0.2.2")

    with pytest.raises(AuthenticationError):
        asyncio.run(refresh_while_changed())
