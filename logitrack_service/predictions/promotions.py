"""Copy of the promotion history in the audit table.

The registry's files are the source of truth; the audit table records every promotion and rollback once, including those
made before the service ran.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import audit_events
from logitrack_assets.eta.registry import Champion

MAX_RECORDED = 100  # newest promotions; the history may reach further back than the retention of audit events


async def record_promotions(engine: AsyncEngine, history: Sequence[Champion]) -> None:
    """Insert the promotions that the audit table does not contain yet.

    Args:
        engine: engine of the service's database.
        history: champions, oldest first.

    Raises:
        SQLAlchemyError: the insert failed.
    """
    rows = [
        {
            "at": champion.promoted_at,
            "event": "model_promoted",
            "detail": {
                "version": champion.version,
                "promoted_at": champion.promoted_at.isoformat(),
                "by": champion.by,
                "reason": champion.labelled_reason,
                "previous": champion.previous,
            },
        }
        for champion in history[-MAX_RECORDED:]
    ]
    if rows:
        async with engine.begin() as connection:
            await connection.execute(insert(audit_events).on_conflict_do_nothing(), rows)
