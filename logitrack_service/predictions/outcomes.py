"""Outcomes: reported durations of predicted trips. Recording is durable and idempotent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import REAL, BigInteger, Row, Select, and_, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import outcomes
from logitrack_service.errors import FieldError, InvalidFieldsError
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import is_plausible_id
from logitrack_service.predictions.schemas import OutcomeReport, OutcomeResponse

Item = TypeVar("Item")

MAX_REPORTED_ERRORS = 100
MAX_STATEMENT_ROWS = 250


async def record_outcomes(engine: AsyncEngine, reports: Sequence[OutcomeReport], *, account_id: int) -> OutcomeResponse:
    """Store outcomes of an account's predictions; the transaction is committed on return.

    Raises:
        InvalidFieldsError: an id is not a prediction id, or one id is reported twice with different durations.
    """
    minutes = _minutes_by_id(reports) if len(reports) == 1 else await asyncio.to_thread(_minutes_by_id, reports)
    rows: list[Row[Any]] = []
    async with engine.begin() as connection:
        # The driver converts parameters and rows on the event loop: in parts, other requests run in between.
        for part in batched(minutes.items(), MAX_STATEMENT_ROWS):
            rows += (await connection.execute(_record_statement(dict(part), account_id))).all()
    recorded = sum(row.is_new for row in rows)
    conflicting = [row.prediction_id for row in rows if row.conflicts and not row.is_new]
    response = OutcomeResponse(recorded, len(rows) - recorded - len(conflicting), conflicting)
    metrics.outcomes.labels("recorded").inc(response.recorded)
    metrics.outcomes.labels("already_known").inc(response.already_known)
    metrics.outcomes.labels("conflicting").inc(len(conflicting))
    return response


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of at most `size`, like `itertools.batched` of Python 3.12."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def _record_statement(minutes: Mapping[str, float], account_id: int) -> Select[Any]:
    """Return one statement for any number of outcomes; it returns a row for each.

    The first report of an outcome is kept; later ones are compared with it.
    """
    reported = (
        func.unnest(
            cast(list(minutes), ARRAY(outcomes.c.prediction_id.type)), cast(list(minutes.values()), ARRAY(REAL))
        )
        .table_valued(column("prediction_id", outcomes.c.prediction_id.type), column("duration_minutes", REAL))
        .render_derived("reported")
    )
    recorded = (
        insert(outcomes)
        .from_select(
            ["prediction_id", "account_id", "duration_minutes"],
            select(reported.c.prediction_id, literal(account_id, BigInteger), reported.c.duration_minutes),
        )
        .on_conflict_do_nothing()
        .returning(outcomes.c.prediction_id)
        .cte("recorded")
    )
    earlier = and_(outcomes.c.prediction_id == reported.c.prediction_id, outcomes.c.account_id == account_id)
    return (
        select(
            reported.c.prediction_id,
            recorded.c.prediction_id.is_not(None).label("is_new"),
            # Null without an earlier report.
            func.coalesce(outcomes.c.duration_minutes != reported.c.duration_minutes, False).label("conflicts"),
        )
        .select_from(reported)
        .outerjoin(recorded, recorded.c.prediction_id == reported.c.prediction_id)
        .outerjoin(outcomes, earlier)
    )


def _minutes_by_id(reports: Sequence[OutcomeReport]) -> dict[str, float]:
    errors: list[FieldError] = []
    minutes: dict[str, float] = {}
    for row, report in enumerate(reports):
        field = f"outcomes[{row}].prediction_id" if len(reports) > 1 else "prediction_id"
        prediction_id = _parse_id(report.prediction_id)
        if prediction_id is None:
            errors.append(FieldError(field, "This is not the id of a prediction."))
        elif minutes.setdefault(prediction_id, report.duration_minutes) != report.duration_minutes:
            errors.append(FieldError(field, "This prediction is reported twice with different durations."))
    if errors:
        raise InvalidFieldsError(errors[:MAX_REPORTED_ERRORS])
    return minutes


def _parse_id(text_id: str) -> str | None:
    """Return an id in canonical form, None if this service cannot have created it."""
    try:
        prediction_id = UUID(text_id)
    except ValueError:
        return None
    return str(prediction_id) if is_plausible_id(prediction_id) else None
