"""Promotions and rollbacks in the audit table, by whichever command or asset they were made.

The files of the store say who is champion, and so does nobody else; here they are only written down. Each promotion is
one row, whoever saw it first, and those from before the service ran are written down when it starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.eta.registry import Champion

NEWEST = 100  # of a history that may be longer than audit events are kept

_INSERT = text(
    "insert into service.audit_events (at, event, detail) values (:at, 'model_promoted', cast(:detail as jsonb))"
    " on conflict do nothing"
)


async def record_promotions(database: AsyncEngine, history: Sequence[Champion]) -> None:
    """Adds the champions, oldest first, that are not in the audit table yet.

    Raises:
        SQLAlchemyError: the database did not take them.
    """
    rows = [
        {
            "at": champion.promoted_at,
            "detail": msgspec.json.encode(
                {
                    "version": champion.version,
                    "promoted_at": champion.promoted_at.isoformat(),
                    "by": champion.by,
                    "reason": champion.labelled_reason,
                    "previous": champion.previous,
                }
            ).decode(),
        }
        for champion in history[-NEWEST:]
    ]
    if rows:
        async with database.begin() as connection:
            await connection.execute(_INSERT, rows)
