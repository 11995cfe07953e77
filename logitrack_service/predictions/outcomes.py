"""Outcomes: reported durations of predicted trips. Recording is durable and idempotent."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_service.errors import FieldError, InvalidFieldsError
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import is_plausible_id
from logitrack_service.predictions.schemas import OutcomeReport, OutcomeResponse

MAX_REPORTED_ERRORS = 100

# One statement for any number of rows. The first report of an outcome is kept; later ones are compared with it.
_RECORD = text(
    """
    with reported as (
        select * from unnest(cast(:ids as uuid[]), cast(:minutes as real[])) as r (prediction_id, duration_minutes)
    ), recorded as (
        insert into service.outcomes (prediction_id, account_id, duration_minutes)
        select prediction_id, :account, duration_minutes from reported
        on conflict do nothing
        returning prediction_id
    )
    select r.prediction_id::text, n.prediction_id is not null as is_new,
           o.duration_minutes is not null and o.duration_minutes <> r.duration_minutes as conflicts
    from reported r
    left join recorded n using (prediction_id)
    left join service.outcomes o on o.prediction_id = r.prediction_id and o.account_id = :account
    """
)


async def record_outcomes(engine: AsyncEngine, reports: Sequence[OutcomeReport], *, account_id: int) -> OutcomeResponse:
    """Store outcomes of an account's predictions; the transaction is committed on return.

    Raises:
        InvalidFieldsError: an id is not a prediction id, or one id is reported twice with different durations.
    """
    minutes = _minutes_by_id(reports)
    async with engine.begin() as connection:
        result = await connection.execute(
            _RECORD, {"ids": list(minutes), "minutes": list(minutes.values()), "account": account_id}
        )
        rows = result.all()
    recorded = sum(row.is_new for row in rows)
    conflicting = [row.prediction_id for row in rows if row.conflicts and not row.is_new]
    response = OutcomeResponse(recorded, len(rows) - recorded - len(conflicting), conflicting)
    metrics.outcomes.labels("recorded").inc(response.recorded)
    metrics.outcomes.labels("already_known").inc(response.already_known)
    metrics.outcomes.labels("conflicting").inc(len(conflicting))
    return response


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
