"""One interface for both clients: every test runs against the synchronous and the asynchronous one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
from litestar.testing import TestClient

from logitrack_service.client import AsyncLogitrackClient, LogitrackClient, asynchronous, synchronous


class AwaitedClient:
    """Runs each method of the asynchronous client in an event loop of its own."""

    def __init__(self, client: AsyncLogitrackClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **kwargs: anyio.run(partial(value, *args, **kwargs))


@pytest.fixture(params=["synchronous", "asynchronous"])
def make_client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function that makes a client whose requests a function answers."""

    def make(handler: Callable[[httpx2.Request], httpx2.Response], *args: Any, **options: Any) -> Any:
        transport = httpx2.MockTransport(handler)
        if request.param == "synchronous":
            return LogitrackClient("http://service", *args, transport=transport, **options)
        return AwaitedClient(AsyncLogitrackClient("http://service", *args, transport=transport, **options))

    return make


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the pauses of both clients; return their lengths."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(synchronous.time, "sleep", slept.append)
    monkeypatch.setattr(asynchronous.anyio, "sleep", sleep)
    return slept


def forwarded_to(worker: TestClient) -> Callable[[httpx2.Request], httpx2.Response]:
    """Return a handler that sends requests to a worker of the real service in this process."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        response = worker.request(
            request.method,
            request.url.raw_path.decode(),
            content=request.content,
            headers={name: value for name, value in request.headers.items() if name not in ("host", "content-length")},
        )
        return httpx2.Response(response.status_code, headers=dict(response.headers), content=response.content)

    return handle
