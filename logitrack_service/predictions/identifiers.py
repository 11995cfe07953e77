"""Prediction ids: UUIDs of version 7 (RFC 9562), ordered by time of creation."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
MAX_CLOCK_SKEW_MS = 60_000  # between the hosts that create and check ids


def new_ids(count: int) -> list[str]:
    """Return `count` new ids. They carry 74 random bits, so they cannot be guessed."""
    milliseconds = f"{int(time.time() * 1000):012x}"
    prefix = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
    random = secrets.token_hex(10 * count)
    return [
        f"{prefix}{random[at : at + 3]}-{_VARIANT[random[at + 3]]}{random[at + 4 : at + 7]}-{random[at + 7 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]


def is_plausible_id(prediction_id: UUID) -> bool:
    """Return whether an id has version 7 and a time of creation that is not in the future."""
    created_at_ms = prediction_id.int >> 80
    return prediction_id.version == 7 and created_at_ms <= time.time() * 1000 + MAX_CLOCK_SKEW_MS
