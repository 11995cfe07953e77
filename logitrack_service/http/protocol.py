"""HTTP protocol for uvicorn with limits on connections and request heads, and one system call for each response.

httptools parses heads of any size, and uvicorn closes a silent connection only after its first response. uvicorn also
writes the head of a response and its body separately; for a short response the second system call costs as much as the
inference of the model.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from logitrack_service.http.connections import ConnectionLimits, connection_table
from logitrack_service.http.problems import PROBLEM_JSON, Problem
from logitrack_service.observability import metrics

MAX_BUFFERED_BYTES = 65_536  # a larger buffer is written immediately
MAX_TARGET_BYTES = 16_384
MAX_HEAD_BYTES = 32_768  # of an incomplete head, trailer or chunk header; a complete head may be a piece longer
MAX_HEADERS = 100  # trailers of a chunked body included
MAX_PIECE_BYTES = 16_384
MAX_PIPELINED_REQUESTS = 16
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0  # the largest body of 4 MB at 0.5 Mbit/s
READ_RESPONSE_SECONDS = 30.0
LINGER_SECONDS = 2.0

# Stages of a connection: constants, because access to an enum's members would be measurable in every request.
IDLE = 0  # no request has begun since the last response
HEAD = 1
BODY = 2
PROCESSING = 3  # the request is complete

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request is not valid HTTP.",
    HTTPStatus.REQUEST_TIMEOUT: "The request was not complete in time.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The target is longer than {MAX_TARGET_BYTES:,} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The head has more than {MAX_HEADERS} fields or {MAX_HEAD_BYTES:,} bytes."
    ),
    HTTPStatus.TOO_MANY_REQUESTS: f"More than {MAX_PIPELINED_REQUESTS} requests were sent without reading a response.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too many connections are open: try again shortly.",
}


class RequestLimitError(Exception):
    """A request exceeds a limit of the protocol; httptools stops parsing."""


class CoalescingHttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with limits, on a transport that coalesces the writes of one event-loop iteration.

    Deadlines: `HEAD_SECONDS` for a head, `BODY_SECONDS` for a body, uvicorn's keep-alive timeout for an idle connection
    and `READ_RESPONSE_SECONDS` for a client that does not read its response. Bytes that trickle in extend none of them.
    """

    transport: _CoalescingTransport  # type: ignore[assignment]  # a proxy of the transport

    def __init__(self, *args: Any, limits: ConnectionLimits | None = None, **kwargs: Any) -> None:
        """Create the protocol of one connection.

        Args:
            args: positional arguments of uvicorn.
            limits: limits that all connections of the server share; the defaults if None.
            kwargs: keyword arguments of uvicorn.
        """
        super().__init__(*args, **kwargs)
        self._table = connection_table(self.server_state, limits or ConnectionLimits(), self.loop)
        self.url = b""
        self._stage = IDLE
        self._unparsed_bytes = 0  # received since the parser last completed a head, a message or a piece of a body
        self._progressed = False
        self._violation = HTTPStatus.BAD_REQUEST
        self._closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # same as the base class
        """Register a new connection, or refuse it if a limit is reached."""
        super().connection_made(_CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]  # a proxy
        if self._table.admit(self, self.client[0] if self.client else ""):
            self._table.wait(self, HEAD_SECONDS)
        else:
            self._closing = True
            self._write_problem(HTTPStatus.SERVICE_UNAVAILABLE)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._table.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes in pieces, so that a violated limit stops a head before it occupies memory or time."""
        if len(data) > MAX_PIECE_BYTES and self._stage != BODY:
            for start in range(0, len(data), MAX_PIECE_BYTES):
                self.data_received(data[start : start + MAX_PIECE_BYTES])
            return
        if self._closing:
            return
        stage, self._progressed = self._stage, False
        super().data_received(data)
        if self._progressed:
            self._unparsed_bytes = 0
        else:
            self._unparsed_bytes += len(data)
            if self._stage == IDLE:
                self._stage = HEAD
        if self._stage != stage:
            self._start_stage()
        if self._unparsed_bytes > MAX_HEAD_BYTES or (self.headers and len(self.headers) > MAX_HEADERS):
            too_long = self._stage == HEAD and len(self.url) > MAX_TARGET_BYTES
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG if too_long else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Start processing a request."""
        self._stage, self._progressed = BODY, True
        if len(self.url) > MAX_TARGET_BYTES:
            self._stop_parsing(HTTPStatus.REQUEST_URI_TOO_LONG)
        if len(self.headers) > MAX_HEADERS:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if len(self.pipeline) == MAX_PIPELINED_REQUESTS:
            self._stop_parsing(HTTPStatus.TOO_MANY_REQUESTS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Hand the end of the request to the application."""
        self._progressed = True
        self._stage = IDLE if self.cycle.response_complete else PROCESSING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless the body of this one is still being received."""
        super().on_response_complete()
        if self._stage == PROCESSING and not self.pipeline and self.cycle.response_complete:
            self._stage = IDLE
        self._start_stage()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # of the base class, which calls this
        """Refuse a request that the parser rejected."""
        self._refuse(self._violation)

    def pause_writing(self) -> None:
        """Limit the time until the client reads its response."""
        super().pause_writing()
        self._table.wait(self, READ_RESPONSE_SECONDS)

    def resume_writing(self) -> None:
        """Continue with the response."""
        super().resume_writing()
        self._start_stage()

    def expire(self) -> None:
        """Close the connection, whose deadline has passed."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._closing or self._stage == IDLE:
            self._table.wait(self, LINGER_SECONDS)  # until the buffer is written
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def evict(self) -> None:
        """Close the connection at once, to make room for another."""
        self._closing = True
        self.transport.abort()

    def _start_stage(self) -> None:
        """Set the deadline of the current stage."""
        if self._closing:
            return
        if self._stage == PROCESSING:
            self._table.end_wait(self)
        elif self._stage == IDLE:
            self._table.wait(self, self.timeout_keep_alive)
        else:
            self._table.wait(self, HEAD_SECONDS if self._stage == HEAD else BODY_SECONDS)

    def _stop_parsing(self, violation: HTTPStatus) -> None:
        self._violation = violation
        raise RequestLimitError(violation.phrase)

    def _refuse(self, status: HTTPStatus) -> None:
        """Respond with a problem document and close.

        The client may still be sending: closing at once would reset the connection and discard the response. Received
        bytes are dropped until the client closes or `LINGER_SECONDS` have passed.
        """
        if self._closing:
            return
        self._closing = True
        metrics.connections_closed.labels(status.phrase.lower()).inc()
        cycle = self.cycle
        if self.pipeline or (cycle and cycle.response_started and not cycle.response_complete):
            self.transport.close()  # a response is being written
            return
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._write_problem(status)
        self.transport.write_eof()
        self._table.wait(self, LINGER_SECONDS)

    def _write_problem(self, status: HTTPStatus) -> None:
        body = msgspec.json.encode(Problem(title=status.phrase, status=status, detail=_DETAILS[status]))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), head, body))


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

    def write_eof(self) -> None:
        """Write the buffer and close the writing direction."""
        self._flush()
        if not self._transport.is_closing():
            self._transport.write_eof()

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
