"""Sessions of browsers: a cookie instead of tokens, with a defence against requests that other sites forge.

The cookie is a random value whose digest is stored with the session. Scripts cannot read it, other sites' requests do
not carry it (SameSite=Strict). Requests that change something also need a header with a value that is derived from the
cookie: pages of this service read it from a second cookie, pages of other sites cannot (OWASP, Cross-Site Request
Forgery Prevention: signed double-submit cookie).
"""

from __future__ import annotations

import hashlib
import hmac
import time

from litestar.datastructures import Cookie
from litestar.types import Scope
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_service.auth.accounts import find_by_id
from logitrack_service.auth.sessions import SessionPolicy, use_cookie
from logitrack_service.auth.tokens import Identity

SESSION_COOKIE, CSRF_COOKIE = "logitrack_session", "logitrack_csrf"
CSRF_HEADER = "x-csrf-token"
MAX_COOKIE_LENGTH = 100  # characters; longer input is refused before it is looked up
MAX_CACHED_COOKIES = 10_000
SECONDS_PER_DAY = 86_400


class BrowserSessions:
    """Identifies browsers by their cookies.

    An identity is cached as long as an access token lives, so that few requests need a database query. As for access
    tokens, the caller has to check the identity's session against the revoked ones.
    """

    def __init__(self, engine: AsyncEngine, policy: SessionPolicy, *, cache_seconds: int) -> None:
        """Create an empty cache; `cache_seconds` is the lifetime of an access token."""
        self._engine, self._policy, self._cache_seconds = engine, policy, cache_seconds
        self._cached: dict[str, Identity] = {}

    async def identify(self, cookie: str) -> Identity | None:
        """Return whose session a cookie belongs to; None if it has ended or never existed.

        Raises:
            SQLAlchemyError: The identity is not cached and the database does not respond.
        """
        if len(cookie) > MAX_COOKIE_LENGTH:
            return None
        identity = self._cached.get(cookie)
        if identity is not None and identity.expires_at > time.time():
            return identity
        self._cached.pop(cookie, None)
        identity = await self._look_up(cookie)
        if identity is not None:
            if len(self._cached) >= MAX_CACHED_COOKIES:
                self._cached.clear()
            self._cached[cookie] = identity
        return identity

    async def _look_up(self, cookie: str) -> Identity | None:
        expires_at = int(time.time()) + self._cache_seconds  # before the query: the session is active after this moment
        async with self._engine.begin() as connection:
            used = await use_cookie(connection, cookie, self._policy)
            account = await find_by_id(connection, used[1]) if used and used[1] is not None else None
        if used is None or account is None:
            return None
        return Identity(account.account_id, account.username, account.role, used[0], expires_at)


def session_cookie_name(scope: Scope) -> str:
    """Return the name of the cookie; under https browsers then refuse one that a sister domain sets (RFC 6265bis)."""
    return f"__Host-{SESSION_COOKIE}" if _is_https(scope) else SESSION_COOKIE


def session_cookies(cookie: str, scope: Scope, *, days: int) -> list[Cookie]:
    """Return the cookies of a new session, which lasts `days` unless it is idle for too long."""
    return _cookies(scope, cookie, csrf_token(cookie), max_age=days * SECONDS_PER_DAY)


def expired_cookies(scope: Scope) -> list[Cookie]:
    """Return cookies that remove those of a session from the browser."""
    return _cookies(scope, "", "", max_age=0)


def csrf_token(cookie: str) -> str:
    """Return the value that a page has to send back; it does not reveal the cookie."""
    return hashlib.sha256(b"logitrack:csrf:" + cookie.encode()).hexdigest()


def is_csrf_token(given: str, cookie: str) -> bool:
    """Return whether a header holds the value that belongs to the cookie."""
    return hmac.compare_digest(given.encode(), csrf_token(cookie).encode())


def _cookies(scope: Scope, session: str, csrf: str, *, max_age: int) -> list[Cookie]:
    def cookie(name: str, value: str, *, httponly: bool) -> Cookie:
        return Cookie(
            key=name,
            value=value,
            max_age=max_age,
            secure=_is_https(scope),
            httponly=httponly,
            samesite="strict",
        )

    return [
        cookie(session_cookie_name(scope), session, httponly=True),
        cookie(CSRF_COOKIE, csrf, httponly=False),  # pages of this service read it
    ]


def _is_https(scope: Scope) -> bool:
    return scope["scheme"] == "https"
