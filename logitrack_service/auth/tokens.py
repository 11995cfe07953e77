"""Access tokens: short-lived signed JWTs, validated without a database query.

Every claim that is validated is also required, and the algorithm is pinned (RFC 8725). The `kid` header names the key,
so that a new key can sign while tokens of the previous one are still accepted until they expire.
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
REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "jti", "type", "role", "name", "iat", "nbf", "exp"]
MAX_ACCOUNT_ID = 2**63 - 1  # PostgreSQL's bigint
MAX_TOKEN_LENGTH = 2_000  # characters; longer input is refused before it is parsed
MAX_CACHED_TOKENS = 10_000  # verified tokens, about 10 MB; verifying a signature takes 0.1 ms


@dataclass(frozen=True, slots=True)
class Identity:
    """The account and session that a valid access token names.

    Attributes:
        account_id: Id of the account.
        username: Name of the account.
        role: Role of the account when the token was issued; a change of role revokes the session.
        session_id: UUID of the session.
        expires_at: Expiry of the token in Unix seconds.
    """

    account_id: int
    username: str
    role: str
    session_id: str
    expires_at: int


class InvalidTokenError(Exception):
    """The token is not acceptable. The reason is for logs, never for the client."""


class Tokens:
    """Issues and validates access tokens.

    Attributes:
        seconds: Lifetime of an access token.
    """

    def __init__(self, keys: Keys, *, minutes: int) -> None:
        self._keys = keys
        self.seconds = minutes * 60
        self._verified: dict[str, Identity] = {}

    def issue(self, *, account_id: int, username: str, role: str, session_id: str) -> str:
        """Return a signed access token of a session."""
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
        """Return the identity in a token.

        Raises:
            InvalidTokenError: The token is forged, expired, not yet valid, of another type, or malformed.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidTokenError("too long")
        identity = self._verified.get(token)
        if identity is None:
            identity = self._decode(token)
            if len(self._verified) >= MAX_CACHED_TOKENS:
                self._verified.clear()
            self._verified[token] = identity
        elif identity.expires_at <= time.time():
            del self._verified[token]
            raise InvalidTokenError("expired")
        return identity

    def _decode(self, token: str) -> Identity:
        try:
            key = self._keys.by_id[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
            )
            if claims["type"] != ACCESS:
                raise InvalidTokenError("not an access token")
            account_id = int(claims["sub"])
            if not 0 <= account_id <= MAX_ACCOUNT_ID:
                raise InvalidTokenError("not an account id")
            return Identity(
                account_id=account_id,
                username=str(claims["name"]),
                role=str(claims["role"]),
                session_id=str(claims["sid"]),
                expires_at=int(claims["exp"]),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidTokenError(str(error) or type(error).__name__) from None
