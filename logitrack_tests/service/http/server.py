"""A uvicorn server with this project's protocol and a small application, in a thread of the test process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn

from logitrack_service.http.connections import ConnectionLimits
from logitrack_service.http.protocol import CoalescingHttpProtocol

TICK_SECONDS = 0.001
RESPONSE_HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


class StallWatch:
    """ASGI middleware that measures the longest time for which the event loop did not run, by a ticking task."""

    def __init__(self, app: Any) -> None:
        self.longest_seconds = 0.0
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the application; tick during its lifespan."""
        ticking = asyncio.create_task(self._tick()) if scope["type"] == "lifespan" else None
        try:
            await self._app(scope, receive, send)
        finally:
            if ticking is not None:
                ticking.cancel()

    async def _tick(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - began - TICK_SECONDS)


class RecordingApp:
    """ASGI application that reads the body and responds "ok"; to /slow once `released` is set, and to /long with 64 MB.

    Attributes:
        requests: paths of the requests that were read completely.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.released = threading.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
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


@dataclass
class ThreadedServer:
    """A running server and the application behind it."""

    port: int
    app: RecordingApp
    stalls: StallWatch

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
def serving_app(
    app: Any, limits: ConnectionLimits | None = None, *, keep_alive_seconds: int = 5
) -> Iterator[tuple[int, StallWatch]]:
    """Run an ASGI application until the block ends; yield its port and the watch of its event loop."""
    stalls = StallWatch(app)
    protocol = partial(CoalescingHttpProtocol, limits=limits)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    config = uvicorn.Config(
        stalls,
        http=protocol,  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield listening.getsockname()[1], stalls
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@contextlib.contextmanager
def serving(limits: ConnectionLimits | None = None, *, keep_alive_seconds: int = 5) -> Iterator[ThreadedServer]:
    """Run a server with a `RecordingApp` until the block ends."""
    app = RecordingApp()
    with serving_app(app, limits, keep_alive_seconds=keep_alive_seconds) as (port, stalls):
        try:
            yield ThreadedServer(port, app, stalls)
        finally:
            app.released.set()
