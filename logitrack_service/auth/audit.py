"""Audit events of accounts, models and queries, in the log and in PostgreSQL, without passwords, tokens and keys."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

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


async def find_audit_events(
    engine: AsyncEngine, *, before: int | None, event: str | None, username: str | None, limit: int
) -> list[dict[str, Any]]:
    """Return events by column name, newest first; `before` is the id of an event, None for the newest."""
    columns = audit_events.c
    statement = (
        select(
            columns.event_id,
            columns.at,
            columns.event,
            columns.username,
            columns.address,
            columns.request_id,
            columns.detail,
        )
        .order_by(columns.event_id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(columns.event_id < before)
    if event is not None:
        statement = statement.where(columns.event == event)
    if username is not None:
        statement = statement.where(columns.username == username)
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(statement)).mappings()]
