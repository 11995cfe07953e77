"""Prediction ids: UUIDs of version 7 (RFC 9562), made in the process, ordered by time, and too random to guess."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
CLOCKS_DIFFER_MS = 60_000  # how far the clocks of two of our machines may be apart


def new_ids(count: int) -> list[str]:
    """As many new ids as asked for."""
    clock = f"{int(time.time() * 1000):012x}"
    head = f"{clock[:8]}-{clock[8:]}-7"
    noise = secrets.token_hex(10 * count)
    return [
        f"{head}{noise[at : at + 3]}-{_VARIANT[noise[at + 3]]}{noise[at + 4 : at + 7]}-{noise[at + 7 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


def is_plausible_id(prediction_id: UUID) -> bool:
    """Whether an id has the shape of ours and was not made in the future."""
    made_at_ms = prediction_id.int >> 80
    return prediction_id.version == 7 and made_at_ms <= time.time() * 1000 + CLOCKS_DIFFER_MS
