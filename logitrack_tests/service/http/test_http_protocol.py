"""Coalescing of the writes of one response."""

from __future__ import annotations

import asyncio

from logitrack_service.http.protocol import MAX_BUFFERED_BYTES, _CoalescingTransport


class RecordingTransport:
    """A transport that records the calls of its methods."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.calls

    def get_extra_info(self, name: str) -> str:
        return f"{name} of the transport"


def written(*actions: bytes | str) -> list[bytes | str]:
    """Return the calls of the transport after writes, or closes, within one event-loop iteration."""

    async def iterate() -> list[bytes | str]:
        transport = RecordingTransport()
        coalescing = _CoalescingTransport(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        assert coalescing.get_extra_info("peername") == "peername of the transport"
        for action in actions:
            if isinstance(action, bytes):
                coalescing.write(action)
            else:
                coalescing.close()
        await asyncio.sleep(0)
        return transport.calls

    return asyncio.run(iterate())


def test_head_and_body_are_written_together():
    assert written(b"head", b"body") == [b"headbody"]


def test_buffer_is_written_before_closing():
    assert written(b"head", b"body", "close") == [b"headbody", "closed"]
    assert written("close", b"too late") == ["closed"]


def test_long_response_is_not_buffered():
    part = b"x" * (MAX_BUFFERED_BYTES // 2 + 1)
    assert written(part, part, part) == [part + part, part]
