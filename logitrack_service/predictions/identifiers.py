"""Prediction ids: UUIDs of version 7 (RFC 9562) that carry a code by which the service recognises its own.

Layout of the 128 bits: 48 bits of Unix milliseconds, the version, 12 + 30 random bits, the variant, and 32 bits of a
keyed BLAKE2b (RFC 7693) over the time, the random bits and the account. An id is therefore recognised without a
database query, also before the row of its prediction is written, and only for the account that it was issued to.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from uuid import UUID

from logitrack_service.auth.keys import Keys

MAX_CLOCK_SKEW_MS = 60_000  # between the hosts that create and check ids
PURPOSE = "prediction-ids"  # of the derived key

_RANDOM_BITS = 42
_CODE_BYTES = 4
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62


class PredictionIds:
    """Issues ids and recognises them."""

    def __init__(self, keys: Keys) -> None:
        """Derive the keys of the codes; ids of previous signing keys stay recognised."""
        names = [keys.current, *(name for name in keys.by_id if name != keys.current)]
        self._coders = [
            hashlib.blake2b(
                digest_size=_CODE_BYTES, key=bytes.fromhex(Keys(current=name, by_id=keys.by_id).derive(PURPOSE))
            )
            for name in names
        ]

    def issue(self, account_ids: Sequence[int]) -> list[str]:
        """Return a new id for each account; they cannot be guessed, and those of one call never collide."""
        milliseconds = time.time_ns() // 1_000_000
        first = secrets.randbits(_RANDOM_BITS)
        coder = self._coders[0]
        ids = []
        for offset, account_id in enumerate(account_ids):
            random = (first + offset) % (1 << _RANDOM_BITS)
            hashed = coder.copy()
            hashed.update(b"%d %d %d" % (milliseconds, random, account_id))
            digits = f"{_assemble(milliseconds, random) | int.from_bytes(hashed.digest()):032x}"
            ids.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
        return ids

    def is_issued_to(self, account_id: int, prediction_id: UUID) -> bool:
        """Return whether this service issued an id to an account."""
        value = prediction_id.int
        milliseconds = value >> 80
        random = (value >> 64 & 0xFFF) << 30 | value >> 32 & 0x3FFFFFFF
        code = (value & 0xFFFFFFFF).to_bytes(_CODE_BYTES)
        for coder in self._coders:
            hashed = coder.copy()
            hashed.update(b"%d %d %d" % (milliseconds, random, account_id))
            if secrets.compare_digest(hashed.digest(), code):
                return True
        return False


def is_plausible_id(prediction_id: UUID) -> bool:
    """Return whether an id has version 7 and a time of creation that is not in the future."""
    created_at_ms = prediction_id.int >> 80
    return prediction_id.version == 7 and created_at_ms <= time.time() * 1000 + MAX_CLOCK_SKEW_MS


def _assemble(milliseconds: int, random: int) -> int:
    """Return the bits of an id with a code of zeros."""
    return milliseconds << 80 | _VERSION_AND_VARIANT | random >> 30 << 64 | (random & 0x3FFFFFFF) << 32
