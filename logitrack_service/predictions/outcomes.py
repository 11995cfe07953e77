"""Outcomes: how long predicted rides really took. Durable before the answer, and the same however often they come."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_service.http.problems import FieldProblem, problem
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import is_plausible_id
from logitrack_service.predictions.schemas import OutcomeReport, OutcomeResponse

# One statement for any number of rows. The first report of an outcome stands; what comes later is compared with it.
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


async def record_outcomes(
    database: AsyncEngine, reports: Sequence[OutcomeReport], *, account_id: int
) -> OutcomeResponse:
    """Stores outcomes of an account's predictions.

    Raises:
        HTTPException: 422 for ids that cannot be ours, or one id twice with different durations.
    """
    minutes = _by_id(reports)
    async with database.begin() as connection:
        rows = (
            await connection.execute(
                _RECORD, {"ids": list(minutes), "minutes": list(minutes.values()), "account": account_id}
            )
        ).all()
    recorded = sum(row.is_new for row in rows)
    conflicting = [row.prediction_id for row in rows if row.conflicts and not row.is_new]
    answer = OutcomeResponse(recorded, len(rows) - recorded - len(conflicting), conflicting)
    for result, count in (
        ("recorded", answer.recorded),
        ("already_known", answer.already_known),
        ("conflicting", len(conflicting)),
    ):
        metrics.outcomes.labels(result).inc(count)
    return answer


def _by_id(reports: Sequence[OutcomeReport]) -> dict[str, float]:
    wrong: list[FieldProblem] = []
    minutes: dict[str, float] = {}
    for row, report in enumerate(reports):
        where = f"outcomes[{row}].prediction_id" if len(reports) > 1 else "prediction_id"
        try:
            known = UUID(report.prediction_id)
        except ValueError:
            known = None
        if known is None or not is_plausible_id(known):
            wrong.append(FieldProblem(where, "This is not the id of a prediction."))
        elif minutes.setdefault(str(known), report.duration_minutes) != report.duration_minutes:
            wrong.append(FieldProblem(where, "This prediction is reported twice with different durations."))
    if wrong:
        raise problem(422, "Some values are not valid.", errors=wrong[:100])
    return minutes
