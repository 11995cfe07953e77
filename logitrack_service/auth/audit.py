"""Audit events of accounts, in the log and in PostgreSQL. They never contain a password, a token or a key."""

from __future__ import annotations

import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_assets.database.tables import audit_events

log = structlog.get_logger("logitrack.audit")


async def audit(
    connection: AsyncConnection,
    event: str,
    *,
    account_id: int | None = None,
    username: str | None = None,
    address: str | None = None,
    **detail: str | int,
) -> None:
    """Record an event in the caller's transaction."""
    log.info(event, account_id=account_id, username=username, address=address, **detail)
    await connection.execute(
        insert(audit_events).values(
            event=event,
            account_id=account_id,
            username=username,
            address=address,
            request_id=structlog.contextvars.get_contextvars().get("request_id"),
            detail=detail or None,
        )
    )
