"""/register, /token, /me and what else is about accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, RawBody

from logitrack_service.auth.accounts import Account, Accounts, Login
from logitrack_service.auth.guards import require_admin
from logitrack_service.auth.passwords import MAX_LENGTH, MIN_LENGTH
from logitrack_service.auth.tokens import Identity, Tokens
from logitrack_service.http.decoding import decode_form
from logitrack_service.http.middleware import client_address

FORM = "application/x-www-form-urlencoded"
SMALL = 16_384  # bytes: no login is larger

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"  # PostgreSQL takes no NUL
Username = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$", min_length=3, max_length=64)]
NewPassword = Annotated[str, msgspec.Meta(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]
GivenPassword = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """A new account: 12 to 128 characters of password, no rules about which."""

    username: Username
    password: NewPassword


class Profile(msgspec.Struct):
    """An account as its owner sees it."""

    username: str
    role: str
    created_at: datetime


class PasswordForm(msgspec.Struct):
    """OAuth2's password form."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=PRINTABLE)]
    password: GivenPassword
    grant_type: Literal["password"] = "password"
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = None


class RefreshRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A refresh token, to be spent on a new pair."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class TokenPair(msgspec.Struct):
    """An access token for the next minutes and the refresh token for the one after it."""

    access_token: str
    expires_in: int
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    """The password as it is, and as it shall be."""

    current_password: GivenPassword
    new_password: NewPassword


class RoleChange(msgspec.Struct, forbid_unknown_fields=True):
    """What an account may do from now on."""

    role: Literal["user", "analyst", "admin"]


@post("/register", exclude_from_auth=True, request_max_body_size=SMALL, summary="Make an account", tags=["identity"])
async def register(
    request: Request[Any, Any, Any], data: JSONBody[Registration], accounts: NamedDependency[Accounts]
) -> Profile:
    """Makes an account with the role user."""
    account = await accounts.register(data.username, data.password, address=client_address(request.scope))
    return _profile(account)


@post(
    "/token",
    exclude_from_auth=True,
    status_code=200,
    request_max_body_size=SMALL,
    request_bodies={FORM: (PasswordForm,)},
    summary="Log in",
    tags=["identity"],
)
async def token(
    request: Request[Any, Any, Any], body: RawBody, accounts: NamedDependency[Accounts], tokens: NamedDependency[Tokens]
) -> TokenPair:
    """Answers OAuth2's password form with an access token and a refresh token."""
    form = decode_form(body, PasswordForm)
    login = await accounts.login(form.username, form.password, address=client_address(request.scope))
    return _pair(tokens, login)


@post(
    "/token/refresh",
    exclude_from_auth=True,
    status_code=200,
    request_max_body_size=SMALL,
    summary="Renew a login",
    tags=["identity"],
)
async def refresh(
    request: Request[Any, Any, Any],
    data: JSONBody[RefreshRequest],
    accounts: NamedDependency[Accounts],
    tokens: NamedDependency[Tokens],
) -> TokenPair:
    """Spends a refresh token on a new pair. A token that comes twice ends its session."""
    return _pair(tokens, await accounts.refresh(data.refresh_token, address=client_address(request.scope)))


@post("/logout", status_code=204, summary="Log out", tags=["identity"])
async def logout(request: Request[Identity, Any, Any], accounts: NamedDependency[Accounts]) -> None:
    """Ends this session: its tokens are refused at once, in every worker."""
    await accounts.logout(request.user, everywhere=False, address=client_address(request.scope))


@post("/logout/everywhere", status_code=204, summary="Log out everywhere", tags=["identity"])
async def logout_everywhere(request: Request[Identity, Any, Any], accounts: NamedDependency[Accounts]) -> None:
    """Ends every session of this account."""
    await accounts.logout(request.user, everywhere=True, address=client_address(request.scope))


@get("/me", summary="Who am I", tags=["identity"])
async def me(request: Request[Identity, Any, Any], accounts: NamedDependency[Accounts]) -> Profile:
    """The account that asks."""
    account = await accounts.find(request.user.account_id)
    assert account is not None, "a session cannot outlive its account"
    return _profile(account)


@post("/me/password", status_code=204, request_max_body_size=SMALL, summary="Change the password", tags=["identity"])
async def change_password(
    request: Request[Identity, Any, Any], data: JSONBody[PasswordChange], accounts: NamedDependency[Accounts]
) -> None:
    """Changes the password and ends every session of this account, this one included."""
    await accounts.change_password(
        request.user, data.current_password, data.new_password, address=client_address(request.scope)
    )


@put(
    "/accounts/{username:str}/role",
    guards=[require_admin],
    request_max_body_size=SMALL,
    summary="Change a role",
    tags=["identity"],
)
async def change_role(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    data: JSONBody[RoleChange],
    accounts: NamedDependency[Accounts],
) -> Profile:
    """Gives an account another role and ends its sessions."""
    account = await accounts.set_role(username, data.role, by=request.user, address=client_address(request.scope))
    return _profile(account)


def _profile(account: Account) -> Profile:
    assert isinstance(account.created_at, datetime)
    return Profile(account.username, account.role, account.created_at)


def _pair(tokens: Tokens, login: Login) -> TokenPair:
    access = tokens.issue(
        account_id=login.account.account_id,
        username=login.account.username,
        role=login.account.role,
        session_id=login.session_id,
    )
    return TokenPair(access, tokens.seconds, login.refresh_token)


routes = [register, token, refresh, logout, logout_everywhere, me, change_password, change_role]
