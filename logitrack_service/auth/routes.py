"""HTTP handlers of an account's owner: /register, /token, /session, /logout, /me."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, RawBody

from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.browser_sessions import expired_cookies, session_cookies
from logitrack_service.auth.login import Login, LoginService
from logitrack_service.auth.password_change import PasswordChanger
from logitrack_service.auth.schemas import (
    EXAMPLE_PASSWORD,
    EXAMPLE_USERNAME,
    MAX_BODY_BYTES,
    NO_NUL,
    NewPassword,
    Profile,
    SessionEntry,
    Username,
    actor_of,
)
from logitrack_service.auth.session_control import SessionControl
from logitrack_service.auth.sessions import add_cookie
from logitrack_service.auth.tokens import Identity, Tokens
from logitrack_service.auth.usernames import MAX_USERNAME_LENGTH
from logitrack_service.errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
)
from logitrack_service.http.decoding import decode_form
from logitrack_service.http.middleware import client_address
from logitrack_service.http.openapi import JSON, body_link, problem_responses
from logitrack_service.settings import ServiceSettings

FORM = "application/x-www-form-urlencoded"


_RENEWAL = body_link(
    "refresh",
    "Renew the login before its access token expires.",
    refresh_token="$response.body#/refresh_token",  # noqa: S106  # a runtime expression
)

GivenPassword = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """A new account. The password has 12 to 128 characters of any kind."""

    username: Username
    password: NewPassword


class PasswordForm(msgspec.Struct):
    """OAuth2's password form (RFC 6749, 4.3.2)."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USERNAME_LENGTH, pattern=NO_NUL)]
    password: GivenPassword
    grant_type: Literal["password"] = "password"
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = None


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The account that a browser signs in with."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USERNAME_LENGTH, pattern=NO_NUL)]
    password: GivenPassword


class RefreshRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A refresh token, to be exchanged for new tokens."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class TokenPair(msgspec.Struct):
    """An access token, its lifetime in seconds, and the refresh token for the next pair."""

    access_token: str
    expires_in: int
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 -- the type's name (RFC 6750), no secret


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    """The current and the new password."""

    current_password: GivenPassword
    new_password: NewPassword


@post(
    "/register",
    exclude_from_auth=True,
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"username": EXAMPLE_USERNAME, "password": EXAMPLE_PASSWORD},
    response_links=body_link(
        "token",
        "Log in with the new account.",
        username="$response.body#/username",
        password="$request.body#/password",  # noqa: S106  # a runtime expression
    ),
    responses=problem_responses(ConflictError, RateLimitedError, UnavailableError),
    summary="Create an account",
    tags=["identity"],
)
async def register(
    request: Request[Any, Any, Any], data: JSONBody[Registration], accounts: NamedDependency[Accounts]
) -> Profile:
    """Create an account with the role user.

    Common and leaked passwords are refused; there are no rules about kinds of characters. Usernames are unique
    regardless of case.
    """
    account = await accounts.register(data.username, data.password, address=client_address(request.scope))
    return Profile.from_account(account)


@post(
    "/token",
    exclude_from_auth=True,
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
    request_bodies={FORM: (PasswordForm,)},
    response_links=_RENEWAL,
    responses=problem_responses(AuthenticationError, RateLimitedError, UnavailableError),
    summary="Log in",
    tags=["identity"],
)
async def token(
    request: Request[Any, Any, Any],
    body: RawBody,
    login_service: NamedDependency[LoginService],
    tokens: NamedDependency[Tokens],
) -> TokenPair:
    """Exchange a username and a password for an access token and a refresh token (OAuth2's password form).

    Repeated failures are throttled per account and per network; the wait doubles up to five minutes.
    """
    form = decode_form(body, PasswordForm)
    login = await login_service.login(form.username, form.password, address=client_address(request.scope))
    return _token_pair(tokens, login)


@post(
    "/token/refresh",
    exclude_from_auth=True,
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
    response_links=_RENEWAL,
    responses=problem_responses(AuthenticationError, UnavailableError),
    summary="Renew a login",
    tags=["identity"],
)
async def refresh(
    request: Request[Any, Any, Any],
    data: JSONBody[RefreshRequest],
    login_service: NamedDependency[LoginService],
    tokens: NamedDependency[Tokens],
) -> TokenPair:
    """Exchange a refresh token for a new pair of tokens.

    Each refresh token works once. A token that is presented twice revokes its session (RFC 9700, 4.14.2).
    """
    login = await login_service.refresh(data.refresh_token, address=client_address(request.scope))
    return _token_pair(tokens, login)


@post(
    "/session",
    exclude_from_auth=True,
    status_code=204,
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"username": EXAMPLE_USERNAME, "password": EXAMPLE_PASSWORD},
    responses=problem_responses(AuthenticationError, RateLimitedError, UnavailableError),
    summary="Sign in a browser",
    tags=["identity"],
)
async def sign_in(
    request: Request[Any, Any, Any],
    data: JSONBody[SignIn],
    login_service: NamedDependency[LoginService],
    service_settings: NamedDependency[ServiceSettings],
) -> Response[None]:
    """Open a session that a cookie carries, for web pages of this service; programs use `/token`.

    Every operation accepts the cookie instead of an access token. Methods other than GET need the value of the cookie
    `logitrack_csrf` in the header `X-CSRF-Token` besides. The body has to be sent as `application/json`, which a form
    of another site cannot do.
    """
    if request.content_type[0] != JSON:
        raise InvalidRequestError(f"The content type has to be {JSON}.")
    login = await login_service.login(
        data.username, data.password, address=client_address(request.scope), add_credential=add_cookie
    )
    cookies = session_cookies(login.credential, request.scope, days=service_settings.refresh_token_days)
    return Response(None, cookies=cookies)


@delete("/session", responses=problem_responses(UnavailableError), summary="Sign out a browser", tags=["identity"])
async def sign_out(
    request: Request[Identity, Any, Any], login_service: NamedDependency[LoginService]
) -> Response[None]:
    """End this session as `/logout` does, and remove its cookies from the browser."""
    await login_service.logout(request.user, everywhere=False, address=client_address(request.scope))
    return Response(None, cookies=expired_cookies(request.scope))


@post("/logout", status_code=204, responses=problem_responses(UnavailableError), summary="Log out", tags=["identity"])
async def logout(request: Request[Identity, Any, Any], login_service: NamedDependency[LoginService]) -> None:
    """End this session. All its tokens are refused immediately, by every worker."""
    await login_service.logout(request.user, everywhere=False, address=client_address(request.scope))


@post(
    "/logout/everywhere",
    status_code=204,
    responses=problem_responses(UnavailableError),
    summary="Log out everywhere",
    tags=["identity"],
)
async def logout_everywhere(request: Request[Identity, Any, Any], login_service: NamedDependency[LoginService]) -> None:
    """End every session of this account."""
    await login_service.logout(request.user, everywhere=True, address=client_address(request.scope))


@get("/me", responses=problem_responses(UnavailableError), summary="Get the caller's account", tags=["identity"])
async def me(request: Request[Identity, Any, Any], accounts: NamedDependency[Accounts]) -> Profile:
    """Return the account of the access token."""
    account = await accounts.find(request.user.account_id)
    if account is None:  # deleted a moment ago, or a token from before the database was replaced
        raise AuthenticationError("The account of this access token does not exist.")
    return Profile.from_account(account)


@post(
    "/me/password",
    status_code=204,
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"current_password": EXAMPLE_PASSWORD, "new_password": "eight green cabs in the snow"},
    responses=problem_responses(PermissionDeniedError, RateLimitedError, UnavailableError),
    summary="Change the password",
    tags=["identity"],
)
async def change_password(
    request: Request[Identity, Any, Any],
    data: JSONBody[PasswordChange],
    password_changer: NamedDependency[PasswordChanger],
) -> None:
    """Change the password and end every session of this account, including this one."""
    await password_changer.change(
        request.user, data.current_password, data.new_password, address=client_address(request.scope)
    )


@get(
    "/me/sessions",
    responses=problem_responses(UnavailableError),
    summary="List the caller's sessions",
    tags=["identity"],
)
async def list_own_sessions(
    request: Request[Identity, Any, Any], session_control: NamedDependency[SessionControl]
) -> list[SessionEntry]:
    """Return the open sessions of this account, the most recently used first."""
    found = await session_control.list_sessions(request.user.account_id)
    return [SessionEntry.from_session(session, current_id=request.user.session_id) for session in found]


@delete(
    "/me/sessions/{session_id:uuid}",
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="End one of the caller's sessions",
    tags=["identity"],
)
async def end_own_session(
    request: Request[Identity, Any, Any], session_id: FromPath[UUID], session_control: NamedDependency[SessionControl]
) -> None:
    """End an open session of this account. All its tokens are refused immediately, by every worker."""
    await session_control.end_session(request.user.account_id, str(session_id), actor=actor_of(request))


def _token_pair(tokens: Tokens, login: Login) -> TokenPair:
    access_token = tokens.issue(
        account_id=login.account.account_id,
        username=login.account.username,
        role=login.account.role,
        session_id=login.session_id,
    )
    return TokenPair(access_token, tokens.seconds, login.credential)


routes = [
    register,
    token,
    refresh,
    sign_in,
    sign_out,
    logout,
    logout_everywhere,
    me,
    change_password,
    list_own_sessions,
    end_own_session,
]
