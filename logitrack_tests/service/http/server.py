"""A uvicorn server with this project's protocol and a small application, in a thread of the test process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn

from logitrack_service.http.connections import ConnectionLimits
from logitrack_service.http.protocol import CoalescingHttpProtocol

TICK_SECONDS = 0.001
RESPONSE_HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


@dataclass
class StallWatch:
    """Measures how long the event loop does not run: the longest gap between two ticks of a task."""

    longest_seconds: float = 0.0

    async def tick(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - began - TICK_SECONDS)


@dataclass
class ThreadedServer:
    """A running server; `requests` are the paths whose requests were read completely."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    disconnects: int = 0
    stalls: StallWatch = field(default_factory=StallWatch)
    released: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Respond "ok" after reading the body; to /slow once `released` is set, and to /long with 64 MB."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            more = message["more_body"]
        self.requests.append(scope["path"])
        if scope["path"] == "/slow":
            await asyncio.to_thread(self.released.wait)
        if scope["path"] == "/long":
            await send({**RESPONSE_HEAD, "headers": []})
            for _ in range(1_000):
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await send({"type": "http.response.body"})
            return
        await send(RESPONSE_HEAD)
        await send({"type": "http.response.body", "body": b"ok"})

    async def _live(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await receive()
        ticking = asyncio.create_task(self.stalls.tick())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ticking.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        """Return a connection from a loopback address."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(address, 0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def exchange(self, *parts: bytes, address: str = "127.0.0.1") -> bytes:
        """Send parts until the server closes, and return everything that it sent."""
        with self.connect(address) as client:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    client.sendall(part)
            return read_all(client)

    def is_answering(self, address: str = "127.0.0.1") -> bool:
        """Return whether a request on a new connection succeeds."""
        request = b"GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        return self.exchange(request, address=address).startswith(b"HTTP/1.1 200")


def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65_536):
            received += data
    return bytes(received)


@contextlib.contextmanager
def serving(limits: ConnectionLimits | None = None, *, keep_alive_seconds: int = 5) -> Iterator[ThreadedServer]:
    """Run a server until the block ends."""
    server = ThreadedServer()
    protocol = partial(CoalescingHttpProtocol, limits=limits)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    server.port = listening.getsockname()[1]
    config = uvicorn.Config(
        server,
        http=protocol,  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        log_config=None,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=1,
    )
    uvicorn_server = uvicorn.Server(config)
    thread = threading.Thread(target=uvicorn_server.run, args=([listening],))
    thread.start()
    try:
        while not uvicorn_server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server
    finally:
        server.released.set()
        uvicorn_server.should_exit = True
        thread.join(10)
        listening.close()
