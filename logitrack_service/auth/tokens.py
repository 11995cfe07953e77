"""Access tokens: short-lived, signed, and readable without asking the database.

Every claim that is checked is also required, and the algorithm is pinned (RFC 8725). The key is found by the `kid` in
the token's header, so that a new key can sign while tokens of the old one live out their minutes.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import jwt

from logitrack_service.auth.keys import Keys

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "logitrack"
ACCESS = "access"
REQUIRED = ["iss", "aud", "sub", "sid", "jti", "type", "role", "name", "iat", "nbf", "exp"]
MAX_TOKEN_LENGTH = 2_000  # characters of a token worth looking at
MAX_CACHED_TOKENS = 10_000  # tokens whose signature was found right, some 10 MB; checking one anew costs 0.1 ms


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever a valid access token speaks for."""

    account_id: int
    username: str
    role: str
    session_id: str
    expires_at: int  # Unix seconds


class InvalidTokenError(Exception):
    """A token that is not to be believed. Why is for the log, never for the client."""


class Tokens:
    """Issues and reads access tokens."""

    def __init__(self, keys: Keys, *, minutes: int) -> None:
        self._keys = keys
        self.seconds = minutes * 60
        self._read: dict[str, Identity] = {}

    def issue(self, *, account_id: int, username: str, role: str, session_id: str) -> str:
        """A signed access token of a session."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(account_id),
            "sid": session_id,
            "jti": secrets.token_urlsafe(12),
            "type": ACCESS,
            "role": role,
            "name": username,
            "iat": now,
            "nbf": now,
            "exp": now + self.seconds,
        }
        key = self._keys.by_id[self._keys.current]
        return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": self._keys.current})

    def read(self, token: str) -> Identity:
        """Who a token speaks for.

        Raises:
            InvalidTokenError: it is forged, expired, not yet valid, of another kind, or not a token at all.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidTokenError("too long")
        known = self._read.get(token)  # the same characters carry the same signature
        if known is None:
            known = self._verified(token)
            if len(self._read) >= MAX_CACHED_TOKENS:
                self._read.clear()
            self._read[token] = known
        elif known.expires_at <= time.time():
            del self._read[token]
            raise InvalidTokenError("expired")
        return known

    def _verified(self, token: str) -> Identity:
        try:
            key = self._keys.by_id[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": REQUIRED, "enforce_minimum_key_length": True},
            )
            if claims["type"] != ACCESS:
                raise InvalidTokenError("not an access token")
            return Identity(
                account_id=int(claims["sub"]),
                username=str(claims["name"]),
                role=str(claims["role"]),
                session_id=str(claims["sid"]),
                expires_at=int(claims["exp"]),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidTokenError(str(error) or type(error).__name__) from None
