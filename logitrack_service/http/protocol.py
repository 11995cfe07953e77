"""How answers leave: head and body in one write, so in one system call and mostly in one packet.

uvicorn writes the head of an answer and then its body; for a short answer the second system call costs as much as
everything that the model does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BUFFERED_BYTES = 65_536  # bytes; longer answers are written as they come


class CoalescingHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that gathers what is written in one turn of the event loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]


class _CoalescingTransport:
    """A transport that writes once a turn; whatever else is asked of it, the real one does."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MAX_BUFFERED_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
