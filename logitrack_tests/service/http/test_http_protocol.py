from __future__ import annotations

import asyncio

from logitrack_service.http.protocol import MAX_BUFFERED_BYTES, _CoalescingTransport


class Wire:
    """A transport that remembers what was done with it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done

    def get_extra_info(self, name: str) -> str:
        return f"the wire's {name}"


def written(*actions: bytes | str) -> list[bytes | str]:
    """What reaches the wire when these are written, or closed, within one turn of the loop; and one turn later."""

    async def turn() -> list[bytes | str]:
        wire = Wire()
        gathered = _CoalescingTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        assert gathered.get_extra_info("peername") == "the wire's peername"
        for action in actions:
            if isinstance(action, bytes):
                gathered.write(action)
            else:
                gathered.close()
        await asyncio.sleep(0)
        return wire.done

    return asyncio.run(turn())


def test_head_and_body_leave_together():
    assert written(b"head", b"body") == [b"headbody"]


def test_what_was_written_leaves_before_the_connection_is_closed():
    assert written(b"head", b"body", "close") == [b"headbody", "closed"]
    assert written("close", b"too late") == ["closed"]


def test_a_long_answer_is_not_held_back():
    part = b"x" * (MAX_BUFFERED_BYTES // 2 + 1)
    assert written(part, part, part) == [part + part, part]
