"""HTTP handlers of admins: /accounts and /audit."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database import analyst_address, database_url
from logitrack_assets.settings import Settings
from logitrack_service.auth.administration import AccountAdministration
from logitrack_service.auth.audit import find_audit_events
from logitrack_service.auth.guards import require_admin
from logitrack_service.auth.roles import Role
from logitrack_service.auth.schemas import (
    EXAMPLE_PASSWORD,
    MAX_BODY_BYTES,
    NO_NUL,
    Instant,
    NewPassword,
    Profile,
    SessionEntry,
    actor_of,
)
from logitrack_service.auth.session_control import SessionControl
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import ConflictError, NotFoundError, UnavailableError
from logitrack_service.http.openapi import problem_responses

DEFAULT_PAGE_ACCOUNTS, MAX_PAGE_ACCOUNTS = 100, 500
MAX_EVENT_ID = 2**63 - 1  # PostgreSQL's bigint

AfterUsername = Annotated[
    str | None,
    QueryParameter(max_length=200, pattern=NO_NUL, description="`next` of the previous page."),
]
AccountLimit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ACCOUNTS, description="Accounts of a page.")]

EventLimit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ACCOUNTS, description="Events of a page.")]
BeforeEvent = Annotated[int | None, QueryParameter(ge=1, le=MAX_EVENT_ID, description="`next` of the previous page.")]
EventName = Annotated[str | None, QueryParameter(max_length=100, pattern=NO_NUL, description="Kind of event.")]
EventUsername = Annotated[str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Name of an account.")]


class AccountPage(msgspec.Struct):
    """A page of accounts in the order of their names. `next` is null on the last page."""

    rows: list[Profile]
    next: Annotated[str | None, msgspec.Meta(description="Name to send as `after` for the next page.")] = None


class AuditEntry(msgspec.Struct):
    """A recorded event: logins, changes of accounts, promotions, analysts' queries. `detail` depends on the event."""

    event_id: int
    at: Instant
    event: str
    username: str | None
    address: str | None
    request_id: str | None
    detail: dict[str, Any] | None


class AuditPage(msgspec.Struct):
    """A page of events, newest first. `next` is null on the last page."""

    rows: list[AuditEntry]
    next: Annotated[int | None, msgspec.Meta(description="Id to send as `before` for the next page.")] = None


class DatabaseAddress(msgspec.Struct):
    """A PostgreSQL login that reads the views in `analytics`, as one address and in parts."""

    url: str
    username: str
    password: str


class RoleChange(msgspec.Struct, forbid_unknown_fields=True):
    """The new role of an account."""

    role: Role


class VouchedChange(msgspec.Struct, forbid_unknown_fields=True):
    """Whether an admin answers for the outcomes of an account."""

    vouched: bool


class DisabledChange(msgspec.Struct, forbid_unknown_fields=True):
    """Whether an account is disabled."""

    disabled: bool


class PasswordReplacement(msgspec.Struct, forbid_unknown_fields=True):
    """The new password of an account."""

    new_password: NewPassword


@get(
    "/accounts",
    guards=[require_admin],
    responses=problem_responses(UnavailableError),
    summary="List accounts",
    tags=["identity"],
)
async def list_accounts(
    account_administration: NamedDependency[AccountAdministration],
    limit: AccountLimit = DEFAULT_PAGE_ACCOUNTS,
    after: AfterUsername = None,
) -> AccountPage:
    """Return accounts in the order of their names."""
    found = await account_administration.list_accounts(after=after, limit=limit + 1)
    rows = [Profile.from_account(account) for account in found[:limit]]
    return AccountPage(rows, next=rows[-1].username if len(found) > limit else None)


@put(
    "/accounts/{username:str}/role",
    guards=[require_admin],
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"role": "analyst"},
    responses=problem_responses(NotFoundError, ConflictError, UnavailableError),
    summary="Change a role",
    tags=["identity"],
)
async def change_role(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    data: JSONBody[RoleChange],
    account_administration: NamedDependency[AccountAdministration],
) -> Profile:
    """Change the role of an account and end its sessions. The last admin cannot give up that role."""
    return Profile.from_account(await account_administration.set_role(username, data.role, actor=actor_of(request)))


@put(
    "/accounts/{username:str}/vouched",
    guards=[require_admin],
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"vouched": True},
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="Vouch for an account",
    tags=["identity"],
)
async def change_vouched(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    data: JSONBody[VouchedChange],
    account_administration: NamedDependency[AccountAdministration],
) -> Profile:
    """Record whether an admin answers for the outcomes that an account reports."""
    return Profile.from_account(
        await account_administration.set_vouched(username, data.vouched, actor=actor_of(request))
    )


@put(
    "/accounts/{username:str}/disabled",
    guards=[require_admin],
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"disabled": True},
    responses=problem_responses(NotFoundError, ConflictError, UnavailableError),
    summary="Disable or enable an account",
    tags=["identity"],
)
async def change_disabled(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    data: JSONBody[DisabledChange],
    account_administration: NamedDependency[AccountAdministration],
) -> Profile:
    """Disable an account and end its sessions, or enable it again. The last admin cannot be disabled."""
    return Profile.from_account(
        await account_administration.set_disabled(username, data.disabled, actor=actor_of(request))
    )


@put(
    "/accounts/{username:str}/password",
    guards=[require_admin],
    status_code=204,
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"new_password": EXAMPLE_PASSWORD},
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="Replace a password",
    tags=["identity"],
)
async def replace_password(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    data: JSONBody[PasswordReplacement],
    account_administration: NamedDependency[AccountAdministration],
) -> None:
    """Give an account a new password and end its sessions."""
    await account_administration.set_password(
        username, data.new_password, actor=actor_of(request), field="new_password"
    )


@delete(
    "/accounts/{username:str}",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, ConflictError, UnavailableError),
    summary="Delete an account",
    tags=["identity"],
)
async def delete_account(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    account_administration: NamedDependency[AccountAdministration],
) -> None:
    """Delete an account and end its sessions. The last admin cannot be deleted."""
    await account_administration.delete(username, actor=actor_of(request))


@post(
    "/accounts/{username:str}/database-login",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, ConflictError, UnavailableError),
    summary="Give an analyst a database login",
    tags=["identity"],
)
async def create_database_login(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    account_administration: NamedDependency[AccountAdministration],
    settings: NamedDependency[Settings],
) -> DatabaseAddress:
    """Return a read-only PostgreSQL address for an analyst's own tools: psql, a notebook, Metabase.

    The password is shown once; a second call gives a new one. The login ends when the account is disabled, deleted or
    loses the role analyst. Refused with 409 where the embedded PostgreSQL has no port (LOGITRACK_POSTGRES_PORT), or
    where the service may not create roles: `logitrack analyst-url` then does it with an administrator's address.
    """
    if settings.embedded and settings.postgres_port is None:
        raise ConflictError("The embedded PostgreSQL has no TCP port.", hint="Set LOGITRACK_POSTGRES_PORT.")
    login = await account_administration.create_database_login(username, actor=actor_of(request))
    port = settings.postgres_port if settings.embedded else None
    url = await asyncio.to_thread(database_url, settings)
    return DatabaseAddress(
        analyst_address(url, role=login.role, password=login.password, embedded_port=port), login.role, login.password
    )


@delete(
    "/accounts/{username:str}/database-login",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, ConflictError, UnavailableError),
    summary="Drop an analyst's database login",
    tags=["identity"],
)
async def drop_database_login(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    account_administration: NamedDependency[AccountAdministration],
) -> None:
    """Drop the database login of an analyst and end its connections."""
    await account_administration.drop_database_login(username, actor=actor_of(request))


@get(
    "/accounts/{username:str}/sessions",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="List the sessions of an account",
    tags=["identity"],
)
async def list_account_sessions(
    request: Request[Identity, Any, Any], username: FromPath[str], session_control: NamedDependency[SessionControl]
) -> list[SessionEntry]:
    """Return the open sessions of an account, the most recently used first."""
    found = await session_control.list_sessions(await session_control.account_id(username))
    return [SessionEntry.from_session(session, current_id=request.user.session_id) for session in found]


@delete(
    "/accounts/{username:str}/sessions",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="End the sessions of an account",
    tags=["identity"],
)
async def end_account_sessions(
    request: Request[Identity, Any, Any], username: FromPath[str], session_control: NamedDependency[SessionControl]
) -> None:
    """End every session of an account."""
    await session_control.end_sessions(await session_control.account_id(username), actor=actor_of(request))


@delete(
    "/accounts/{username:str}/sessions/{session_id:uuid}",
    guards=[require_admin],
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="End a session of an account",
    tags=["identity"],
)
async def end_account_session(
    request: Request[Identity, Any, Any],
    username: FromPath[str],
    session_id: FromPath[UUID],
    session_control: NamedDependency[SessionControl],
) -> None:
    """End one open session of an account."""
    account_id = await session_control.account_id(username)
    await session_control.end_session(account_id, str(session_id), actor=actor_of(request))


@get(
    "/audit",
    guards=[require_admin],
    responses=problem_responses(UnavailableError),
    summary="List audit events",
    tags=["identity"],
)
async def list_audit_events(
    engine: NamedDependency[AsyncEngine],
    limit: EventLimit = DEFAULT_PAGE_ACCOUNTS,
    before: BeforeEvent = None,
    event: EventName = None,
    username: EventUsername = None,
) -> AuditPage:
    """Return what was recorded of logins, accounts, models and analysts' queries, newest first. Requires admin."""
    found = await find_audit_events(engine, before=before, event=event, username=username, limit=limit + 1)
    rows = [AuditEntry(**row) for row in found[:limit]]
    return AuditPage(rows, next=rows[-1].event_id if len(found) > limit else None)


routes = [
    list_audit_events,
    list_accounts,
    change_role,
    change_vouched,
    change_disabled,
    replace_password,
    delete_account,
    list_account_sessions,
    end_account_sessions,
    end_account_session,
    create_database_login,
    drop_database_login,
]
