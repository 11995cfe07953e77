"""Open connections of one worker: how many there are, where from, and how long each may wait for its client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Protocol
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

from logitrack_service.http.addresses import network_of
from logitrack_service.observability import metrics

SWEEP_SECONDS = 0.5  # a deadline is enforced this late at most


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on the connections of one worker.

    Attributes:
        max_connections: Open connections in total.
        max_per_address: Open connections of one IPv4 address or IPv6 /64 network.
        trusted_proxies: Addresses and networks that `max_per_address` does not apply to, because a proxy connects for
            all of its clients; `*` is every address.
    """

    max_connections: int = 1_000
    max_per_address: int = 100
    trusted_proxies: Sequence[str] = ()

    def is_trusted(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        if "*" in self.trusted_proxies or address in self.trusted_proxies:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:  # a Unix socket has no address
            return False
        return any(parsed in ip_network(proxy, strict=False) for proxy in self.trusted_proxies if "/" in proxy)


class LimitedConnection(Protocol):
    """A connection that the table can close."""

    def expire(self) -> None:
        """Close the connection, whose deadline has passed."""

    def evict(self) -> None:
        """Close the connection at once, to make room for another."""


@dataclass
class ConnectionTable:
    """Admits connections, and closes those that keep this worker waiting.

    A connection waits while the next step is its client's: sending a request, or reading a response. When a limit is
    reached, the connection that has waited longest makes room. A connection whose request is in progress stays open.
    """

    limits: ConnectionLimits
    loop: asyncio.AbstractEventLoop
    _networks: dict[LimitedConnection, str] = field(default_factory=dict)
    _per_network: Counter[str] = field(default_factory=Counter)
    _deadlines: dict[LimitedConnection, float] = field(default_factory=dict)  # of waiting ones, longest wait first
    _sweep_timer: asyncio.TimerHandle | None = None

    def admit(self, connection: LimitedConnection, address: str) -> bool:
        """Register a connection, if necessary in place of a waiting one.

        Returns:
            False if a limit is reached and every connection that counts is being served.
        """
        network = network_of(address)
        if (
            self._per_network[network] >= self.limits.max_per_address
            and not self.limits.is_trusted(address)
            and not self._evict(network)
        ) or (len(self._networks) >= self.limits.max_connections and not self._evict(None)):
            metrics.connections_closed.labels("refused").inc()
            return False
        self._networks[connection] = network
        self._per_network[network] += 1
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        return True

    def remove(self, connection: LimitedConnection) -> None:
        """Forget a connection; one that is not registered is ignored."""
        self._deadlines.pop(connection, None)
        network = self._networks.pop(connection, None)
        if network is not None:
            self._per_network[network] -= 1
            if not self._per_network[network]:
                del self._per_network[network]

    def wait(self, connection: LimitedConnection, seconds: float) -> None:
        """Start the wait of a connection for its client; it expires after `seconds`."""
        if connection in self._networks:
            self._deadlines.pop(connection, None)
            self._deadlines[connection] = self.loop.time() + seconds

    def end_wait(self, connection: LimitedConnection) -> None:
        """End the wait of a connection: its request is complete."""
        self._deadlines.pop(connection, None)

    def _evict(self, network: str | None) -> bool:
        """Close the connection that has waited longest; of one network unless that is None."""
        for connection in self._deadlines:
            if network is None or self._networks[connection] == network:
                self.remove(connection)
                connection.evict()
                metrics.connections_closed.labels("evicted").inc()
                return True
        return False

    def _sweep(self) -> None:
        now = self.loop.time()
        expired = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
        for connection in expired:
            del self._deadlines[connection]
            connection.expire()
            metrics.connections_closed.labels("timeout").inc()
        self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep) if self._networks else None


_tables: WeakKeyDictionary[ServerState, ConnectionTable] = WeakKeyDictionary()


def connection_table(server: ServerState, limits: ConnectionLimits, loop: asyncio.AbstractEventLoop) -> ConnectionTable:
    """Return the table that all connections of a server share."""
    table = _tables.get(server)
    if table is None:
        table = _tables[server] = ConnectionTable(limits, loop)
    return table
