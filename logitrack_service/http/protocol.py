"""HTTP protocol for uvicorn that writes head and body of a response in one system call.

uvicorn writes the head of a response and its body separately. For a short response the second system call costs as much
as the inference of the model.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BUFFERED_BYTES = 65_536  # a larger buffer is written immediately


class CoalescingHttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol on a transport that coalesces the writes of one event-loop iteration."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # same as the base class
        """Wrap the transport of a new connection."""
        super().connection_made(_CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]  # a proxy


class _CoalescingTransport:
    """Proxy of a transport that buffers writes until the next event-loop iteration."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._buffer: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Buffer data; write immediately when the buffer exceeds `MAX_BUFFERED_BYTES`."""
        if not self._buffer:
            self._loop.call_soon(self._flush)
        self._buffer.append(data)
        self._size += len(data)
        if self._size > MAX_BUFFERED_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the buffer and close the transport."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        buffer, self._buffer, self._size = self._buffer, [], 0
        if buffer and not self._transport.is_closing():
            self._transport.write(b"".join(buffer))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
