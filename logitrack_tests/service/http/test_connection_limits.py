"""Limits on request heads and connections, and deadlines, on a real uvicorn server."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from logitrack_service.http import protocol
from logitrack_service.http.connections import ConnectionLimits
from logitrack_tests.service.http.server import ThreadedServer, read_all, serving
from logitrack_tests.service.polling import eventually

START = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedServer]:
    with serving() as running:
        yield running


def status_of_response(response: bytes) -> int:
    """Return the status of a response, which must be a whole problem document unless it is 200."""
    head, _, body = response.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status != 200:
        assert b"content-type: application/problem+json" in head
        assert b"connection: close" in head
        assert json.loads(body)["status"] == status
    return status


HEADER_LINES = b"".join(b"x-%06d: y\r\n" % number for number in range(5_000))
OVERSIZED = {
    "many header lines": (431, START, HEADER_LINES),
    "one header value": (431, START + b"x: ", b"y" * 65_536),
    "one header name": (431, START, b"y" * 65_536),
    "lines before the request": (431, b"\r\n", b"\r\n" * 32_768),
    "trailers of a chunked body": (431, CHUNKED + b"0\r\n", HEADER_LINES),
    "one trailer": (431, CHUNKED + b"0\r\nx: ", b"y" * 65_536),
    "an extension of a chunk": (431, CHUNKED + b"2;x=", b"y" * 65_536),
    "the target": (414, b"GET /", b"y" * 65_536),
    "query of the target": (414, b"GET /?x=", b"y" * 65_536),
}


@pytest.mark.parametrize("case", OVERSIZED)
def test_48_mib_of_head_are_refused_without_memory_and_without_a_stall(server: ThreadedServer, case: str):
    status, start, repeated = OVERSIZED[case]
    process = psutil.Process()
    server.stalls.longest_seconds = 0.0
    before = process.memory_info().rss
    repetitions = 48 * MEBIBYTE // len(repeated)
    with server.connect() as client:
        with contextlib.suppress(ConnectionError, TimeoutError):
            client.sendall(start)
            for _ in range(repetitions):
                client.sendall(repeated)
        response = read_all(client)
    assert status_of_response(response) == status
    assert process.memory_info().rss - before < 8 * MEBIBYTE
    assert server.stalls.longest_seconds < 0.2
    assert server.is_answering()


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (START + b"x: y\r\n" * 98 + b"Connection: close\r\n\r\n", 200),
        (START + b"x: y\r\n" * 99 + b"Connection: close\r\n\r\n", 431),
        (START + b"Connection: close\r\nx: " + b"y" * 32_000 + b"\r\n\r\n", 200),
        (START + b"Connection: close\r\nx: " + b"y" * 65_536 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 16_383 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"GET /" + b"y" * 16_384 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 414),
        (b"NONSENSE\r\n\r\n", 400),
    ],
    ids=["100 fields", "101 fields", "long value", "too long value", "long target", "too long target", "not HTTP"],
)
def test_heads_are_accepted_up_to_the_limits(server: ThreadedServer, request_head: bytes, status: int):
    assert status_of_response(server.exchange(request_head)) == status


def test_limits_apply_to_each_request_of_a_connection(server: ThreadedServer):
    with server.connect() as client:
        for _ in range(10):
            client.sendall(START + b"x: " + b"y" * 10_000 + b"\r\n\r\n")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        client.sendall(START + b"x: " + b"y" * 40_000)
        assert status_of_response(read_all(client)) == 431


def test_long_chunked_body_of_small_chunks_is_accepted(server: ThreadedServer):
    body = b"1\r\nx\r\n" * 50_000 + b"0\r\nsum: 1\r\n\r\n"
    with server.connect() as client:
        client.sendall(CHUNKED + body)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_bounded(server: ThreadedServer):
    with server.connect() as client:
        client.sendall((START + b"\r\n") * 10)
        received = b""
        while received.count(b"HTTP/1.1 200") < 10:
            received += client.recv(65_536)
    server.app.requests.clear()
    with contextlib.suppress(ConnectionError):
        server.exchange((START + b"\r\n") * 10_000)
    assert len(server.app.requests) <= protocol.MAX_PIPELINED_REQUESTS + 1
    assert server.is_answering()


@pytest.mark.parametrize(
    "sent",
    [b"", START, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"],
    ids=["silent", "half a head", "half a body"],
)
def test_1010_waiting_connections_of_one_address_keep_nobody_out(sent: bytes):
    with serving() as server, contextlib.ExitStack() as stack:
        held: list[socket.socket] = []
        for number in range(1_010):
            client = stack.enter_context(server.connect("127.0.0.2"))
            with contextlib.suppress(ConnectionError):
                client.sendall(sent)
            held.append(client)
            if number % 100 == 0:
                assert server.is_answering("127.0.0.1")
        assert server.is_answering("127.0.0.1")
        assert server.is_answering("127.0.0.2"), "an address at its limit still gets the place of its oldest connection"
        eventually(lambda: sum(is_open(client) for client in held) <= 100)


def is_open(client: socket.socket) -> bool:
    """Return whether the server has neither closed a connection nor sent anything."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def test_waiting_connections_of_many_addresses_make_room():
    limits = ConnectionLimits(max_connections=50, max_per_address=10)
    with serving(limits) as server, contextlib.ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(server.connect(f"127.0.1.{number + 1}"))
            with contextlib.suppress(ConnectionError):
                client.sendall(START)
        assert server.is_answering()


def test_connections_with_a_request_in_progress_are_never_closed():
    limits = ConnectionLimits(max_connections=20, max_per_address=5)
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving(limits) as server, contextlib.ExitStack() as stack:
        working = [stack.enter_context(server.connect("127.0.0.2")) for _ in range(5)]
        for client in working:
            client.sendall(slow)
        eventually(lambda: server.app.requests.count("/slow") == 5)
        refused = server.exchange(b"", address="127.0.0.2")
        assert status_of_response(refused) == 503
        assert server.is_answering("127.0.0.1"), "another address is not affected"
        server.app.released.set()
        assert [status_of_response(read_all(client)) for client in working] == [200] * 5
        assert server.is_answering("127.0.0.2")


def test_trusted_proxy_may_hold_more_connections_than_an_address():
    limits = ConnectionLimits(max_connections=40, max_per_address=5, trusted_proxies=("127.0.0.2", "127.0.3.0/24"))
    with serving(limits) as server, contextlib.ExitStack() as stack:
        held = {
            address: [stack.enter_context(server.connect(address)) for _ in range(10)]
            for address in ("127.0.0.2", "127.0.3.9", "127.0.0.4")
        }
        assert server.is_answering()
        open_connections = {address: sum(map(is_open, clients)) for address, clients in held.items()}
    assert open_connections == {"127.0.0.2": 10, "127.0.3.9": 10, "127.0.0.4": 5}


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_RESPONSE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.5)


@pytest.mark.usefixtures("short_deadlines")
def test_silent_connection_is_closed_after_the_deadline():
    with serving() as server, server.connect() as client:
        assert read_all(client) == b""


@pytest.mark.usefixtures("short_deadlines")
@pytest.mark.parametrize(
    ("start", "trickled"),
    [
        (START, b"x"),
        (b"\r\n", b"\r\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", b"x"),
        (CHUNKED + b"0\r\n", b"x"),
    ],
    ids=["head", "lines before the request", "body", "trailer"],
)
def test_trickled_bytes_do_not_extend_a_deadline(start: bytes, trickled: bytes):
    with serving() as server, server.connect() as client:
        client.sendall(start)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5 and is_open(client):
                client.setblocking(True)
                client.sendall(trickled)
                time.sleep(0.05)
        assert time.monotonic() - began < 3
        client.settimeout(5)
        assert status_of_response(read_all(client)) == 408
        assert server.app.requests == []
        assert server.is_answering()


@pytest.mark.usefixtures("short_deadlines")
def test_idle_connection_is_closed_after_the_keep_alive_timeout_despite_empty_lines():
    with serving(keep_alive_seconds=1) as server, server.connect() as client:
        client.sendall(START + b"\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 10 and is_open(client):
                client.setblocking(True)
                client.sendall(b"\r\n")
                time.sleep(0.05)
        assert 0.5 < time.monotonic() - began < 5


@pytest.mark.usefixtures("short_deadlines")
def test_request_in_progress_has_no_deadline_of_the_protocol():
    with serving() as server, server.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(2)
        server.app.released.set()
        assert status_of_response(read_all(client)) == 200


@pytest.mark.usefixtures("short_deadlines")
def test_client_that_does_not_read_its_response_is_disconnected():
    with serving() as server, server.connect() as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        process = psutil.Process()
        port = client.getsockname()[1]

        def held() -> list[object]:
            return [
                found
                for found in process.net_connections("tcp")
                if found.raddr and found.raddr.port == port and found.status == "ESTABLISHED"
            ]

        eventually(lambda: server.app.requests == ["/long"])
        eventually(lambda: not held())
