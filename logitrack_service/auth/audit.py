"""What happened to accounts, in the log and in PostgreSQL. Never a password, a token or a key."""

from __future__ import annotations

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger("logitrack.audit")

_INSERT = text(
    "insert into service.audit_events (event, account_id, username, address, request_id, detail)"
    " values (:event, :account_id, :username, :address, :request_id, cast(:detail as jsonb))"
)


async def audit(
    connection: AsyncConnection,
    event: str,
    *,
    account_id: int | None = None,
    username: str | None = None,
    address: str | None = None,
    **detail: str | int,
) -> None:
    """Records an event with the transaction that it belongs to."""
    log.info(event, account_id=account_id, username=username, address=address, **detail)
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    await connection.execute(
        _INSERT,
        {
            "event": event,
            "account_id": account_id,
            "username": username,
            "address": address,
            "request_id": request_id,
            "detail": msgspec.json.encode(detail).decode() if detail else None,
        },
    )
