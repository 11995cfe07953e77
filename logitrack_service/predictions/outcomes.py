"""Outcomes: reported durations of predicted trips. Recording is durable and idempotent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import REAL, BigInteger, Row, Select, and_, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from logitrack_assets.database.tables import outcomes, predictions
from logitrack_service.errors import FieldError, InvalidFieldsError
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import PredictionIds, is_plausible_id
from logitrack_service.predictions.live_correction import CHANNEL
from logitrack_service.predictions.quotas import PredictionQuotas, add_outcomes
from logitrack_service.predictions.schemas import OutcomeReport, OutcomeResponse

Item = TypeVar("Item")

MAX_REPORTED_ERRORS = 100
MAX_STATEMENT_ROWS = 250


class OutcomeRecorder:
    """Stores outcomes of predictions that the service issued; each call is one transaction."""

    def __init__(self, engine: AsyncEngine, prediction_ids: PredictionIds, quotas: PredictionQuotas) -> None:
        self._engine, self._prediction_ids, self._quotas = engine, prediction_ids, quotas

    async def record(self, reports: Sequence[OutcomeReport], *, account_id: int) -> OutcomeResponse:
        """Store outcomes of an account's predictions; the transaction is committed on return.

        Raises:
            InvalidFieldsError: An id is not a prediction id, or one id is reported twice with different durations.
        """
        if len(reports) > 1:
            minutes, unverified = await asyncio.to_thread(self._read, reports, account_id)
        else:
            minutes, unverified = self._read(reports, account_id)
        async with self._engine.begin() as connection:
            logged = await _logged_ids(connection, unverified, account_id)
            unknown = [prediction_id for prediction_id in unverified if prediction_id not in logged]
            for prediction_id in unknown:
                del minutes[prediction_id]
            rows: list[Row[Any]] = []
            # The driver converts parameters and rows on the event loop: in parts, other requests run in between.
            for part in batched(minutes.items(), MAX_STATEMENT_ROWS):
                rows += (await connection.execute(_record_statement(dict(part), account_id))).all()
            recorded = sum(row.is_new for row in rows)
            if recorded:
                await add_outcomes(connection, account_id, recorded)
                await connection.execute(select(func.pg_notify(CHANNEL, "")))  # sent at commit
        self._quotas.subtract_open(account_id, recorded)
        conflicting = [row.prediction_id for row in rows if row.conflicts and not row.is_new]
        response = OutcomeResponse(recorded, len(rows) - recorded - len(conflicting), conflicting, unknown)
        metrics.outcomes.labels("recorded").inc(response.recorded)
        metrics.outcomes.labels("already_known").inc(response.already_known)
        metrics.outcomes.labels("conflicting").inc(len(conflicting))
        metrics.outcomes.labels("unknown").inc(len(unknown))
        return response

    def _read(self, reports: Sequence[OutcomeReport], account_id: int) -> tuple[dict[str, float], list[str]]:
        """Return minutes by id, and the ids that do not carry a code of this service for this account.

        Ids of earlier releases have no code, and a lost signing key makes codes unreadable: those are looked up.
        """
        minutes = _minutes_by_id(reports)
        is_issued = self._prediction_ids.is_issued_to
        return minutes, [text_id for text_id in minutes if not is_issued(account_id, UUID(text_id))]


async def _logged_ids(connection: AsyncConnection, prediction_ids: Sequence[str], account_id: int) -> set[str]:
    """Return those of these ids that the log has for the account."""
    if not prediction_ids:
        return set()
    table = predictions
    known = select(table.c.prediction_id).where(
        table.c.prediction_id == func.any(cast(list(prediction_ids), ARRAY(table.c.prediction_id.type))),
        table.c.account_id == account_id,
    )
    return set((await connection.execute(known)).scalars())


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
