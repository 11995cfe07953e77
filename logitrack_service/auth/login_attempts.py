"""Throttling of logins by account and network, such that strangers slow down only themselves.

Every attempt counts for the pair of account and network. An attempt from a network that is not known to the account
also counts for the account over all such networks, and for the network over all accounts that do not know it. A network
becomes known to an account by registration or a successful login from it. Guessers elsewhere, or guessers of other
accounts behind the same address, therefore do not delay an owner whose network is known. A session that is open goes
on with its refresh token, which is not throttled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_assets.database.tables import accounts, known_networks
from logitrack_service.auth.throttle import Limit, count_attempt, delete_stale_counts, refund, reset
from logitrack_service.auth.usernames import normalize_username

LOGIN_PAIR = Limit("login_pair", burst=5)
LOGIN_ACCOUNT = Limit("login_account", burst=20)  # from unknown networks: 20 guesses, later 12 an hour, worldwide
LOGIN_NETWORK = Limit("login_network", burst=100)  # exceeds the logins that a worker verifies at once

MAX_KNOWN_NETWORKS = 20  # per account; each allows its guessers the rate of LOGIN_PAIR
FORGET_NETWORK_AFTER = timedelta(days=90)  # without a login


@dataclass(frozen=True)
class LoginAttempt:
    """A login that has been counted and is not decided yet.

    Attributes:
        normalized_username: Account that the client named; it may not exist.
        network: Network of the client.
        known: The account has logged in from the network before.
    """

    normalized_username: str
    network: str
    known: bool

    @property
    def pair(self) -> str:
        """Return the subject of `LOGIN_PAIR`. A network contains no space, so two pairs never have one subject."""
        return f"{self.network} {self.normalized_username}"

    @property
    def shared_counts(self) -> list[tuple[Limit, str]]:
        """Return the limits that the attempt shares with other networks and accounts, with their subjects."""
        if self.known:
            return []
        return [(LOGIN_ACCOUNT, self.normalized_username), (LOGIN_NETWORK, self.network)]


async def count_login_attempt(connection: AsyncConnection, username: str, network: str) -> LoginAttempt:
    """Count an attempt; one that is refused rolls back with the transaction and counts for nothing.

    Raises:
        RateLimitedError: The client has to wait.
    """
    await delete_stale_counts(connection)
    normalized_username = normalize_username(username)
    known = await _is_known(connection, normalized_username, network)
    attempt = LoginAttempt(normalized_username, network, known)
    await count_attempt(connection, LOGIN_PAIR, attempt.pair)
    for limit, subject in attempt.shared_counts:
        await count_attempt(connection, limit, subject)
    return attempt


async def accept_login_attempt(connection: AsyncConnection, attempt: LoginAttempt, account_id: int) -> None:
    """Remember the network of a successful attempt, and undo what it counted."""
    await reset(connection, LOGIN_PAIR, attempt.pair)
    for limit, subject in attempt.shared_counts:
        await refund(connection, limit, subject)
    await remember_network(connection, account_id, attempt.network)


async def withdraw_login_attempt(connection: AsyncConnection, attempt: LoginAttempt) -> None:
    """Undo the counts of an attempt whose password could not be verified."""
    for limit, subject in [(LOGIN_PAIR, attempt.pair), *attempt.shared_counts]:
        await refund(connection, limit, subject)


async def remember_network(connection: AsyncConnection, account_id: int, network: str) -> None:
    """Record that an account uses a network, and forget the least recently used ones beyond the maximum."""
    statement = insert(known_networks).values(account_id=account_id, network=network)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[known_networks.c.account_id, known_networks.c.network],
            set_={"last_login_at": func.now()},
        )
    )
    kept = (
        select(known_networks.c.network)
        .where(known_networks.c.account_id == account_id)
        .order_by(known_networks.c.last_login_at.desc(), known_networks.c.network)
        .limit(MAX_KNOWN_NETWORKS)
    )
    await connection.execute(
        delete(known_networks).where(
            known_networks.c.account_id == account_id, known_networks.c.network.not_in(kept.scalar_subquery())
        )
    )


async def forget_networks(connection: AsyncConnection, account_id: int) -> None:
    """Forget every network of an account, for example when its password may have been stolen."""
    await connection.execute(delete(known_networks).where(known_networks.c.account_id == account_id))


async def _is_known(connection: AsyncConnection, normalized_username: str, network: str) -> bool:
    """Return whether an account knows a network; the statement is the same for accounts that do not exist."""
    statement = (
        select(known_networks.c.network)
        .join_from(known_networks, accounts)
        .where(
            accounts.c.normalized_username == normalized_username,
            known_networks.c.network == network,
            known_networks.c.last_login_at > func.now() - FORGET_NETWORK_AFTER,
        )
    )
    return await connection.scalar(statement) is not None
