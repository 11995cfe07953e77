"""The components that handle accounts, on a database and without HTTP: for tests that choose addresses and moments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from logitrack_assets.database import psycopg_dsn
from logitrack_service.auth.accounts import Account, Accounts
from logitrack_service.auth.administration import AccountAdministration
from logitrack_service.auth.login import LoginService
from logitrack_service.auth.password_change import PasswordChanger
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.sessions import session_policy
from logitrack_service.auth.tokens import Identity
from logitrack_service.database import connect
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import QUICK_HASHES, ServiceHome


class InterruptedPasswords(Passwords):
    """Counts hashes, and runs an interruption once, between the verification of a password and what follows."""

    interruption: Callable[[], Awaitable[None]] | None = None
    hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        verified = await super().verify(encoded, password)
        interruption, self.interruption = self.interruption, None
        if interruption:
            await interruption()
        return verified


@dataclass
class AuthComponents:
    """The components of a worker that handle accounts."""

    accounts: Accounts
    administration: AccountAdministration
    login_service: LoginService
    password_changer: PasswordChanger
    passwords: InterruptedPasswords


@asynccontextmanager
async def auth_components(home: ServiceHome) -> AsyncIterator[AuthComponents]:
    settings = ServiceSettings(**QUICK_HASHES)
    engine, passwords = connect(home.url), InterruptedPasswords(settings)
    revocations = Revocations(psycopg_dsn(home.url), token_seconds=900)
    await revocations.start()
    try:
        yield AuthComponents(
            accounts=Accounts(engine, passwords),
            administration=AccountAdministration(engine, passwords, revocations),
            login_service=LoginService(engine, passwords, revocations, session_policy(settings)),
            password_changer=PasswordChanger(engine, passwords, revocations),
            passwords=passwords,
        )
    finally:
        await revocations.stop()
        passwords.close()
        await engine.dispose()


def identity(account: Account) -> Identity:
    return Identity(account.account_id, account.username, account.role, "", 0)
