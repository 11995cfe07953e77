"""Limits of the predictions that an account stores: rows of a day, and open ones, whose outcome is not reported.

Counted in memory and in the table `service.usage`. A request reads memory only; the writer of the prediction log adds
the rows that it stores to the table and brings back the totals of all workers. A worker therefore learns what the
others stored when it writes itself, and an account can exceed a limit by what the workers serve in between (0.25 s).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from sqlalchemy import Date, cast, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from logitrack_assets.database.tables import usage
from logitrack_service.errors import RateLimitedError

OPEN_DAYS = 30
"""Days after which a prediction without an outcome no longer counts as open."""

OPEN_RETRY_SECONDS = 60
_DAY_SECONDS = 86_400
_EPOCH = date(1970, 1, 1)

# Accounts in the order of their ids: writers that lock several rows cannot deadlock.
_ADD_PREDICTIONS = f"""
    with counted as (
        insert into service.usage as stored (account_id, day, predictions)
        select account_id, (now() at time zone 'UTC')::date, predictions
        from unnest(%s::bigint[], %s::bigint[]) as written (account_id, predictions) order by account_id
        on conflict (account_id, day) do update set predictions = stored.predictions + excluded.predictions
        returning account_id, day, predictions
    )
    select account_id, day, predictions, predictions + (
        select coalesce(sum(case when earlier.day < counted.day then earlier.predictions else 0 end), 0)
               - coalesce(sum(earlier.outcomes), 0)
        from service.usage earlier
        where earlier.account_id = counted.account_id and earlier.day > counted.day - {OPEN_DAYS}
    )
    from counted
"""


@dataclass(frozen=True)
class UsageTotals:
    """What an account has stored, over all workers.

    Attributes:
        account_id: Id of the account.
        day: The day of `today`, UTC.
        today: Predictions of the day.
        open: Predictions of the last `OPEN_DAYS` days less the outcomes that were reported in them.
    """

    account_id: int
    day: date
    today: int
    open: int


def add_predictions(connection: psycopg.Connection[Any], counts: Mapping[int, int]) -> list[UsageTotals]:
    """Add predictions by account to today's usage; return the totals of these accounts. Does not commit."""
    rows = connection.execute(_ADD_PREDICTIONS, (list(counts), list(counts.values()))).fetchall()
    return [UsageTotals(account_id, day, int(today), int(still_open)) for account_id, day, today, still_open in rows]


async def add_outcomes(connection: AsyncConnection, account_id: int, outcomes: int) -> None:
    """Add outcomes of an account to today's usage. Does not commit."""
    today = cast(func.timezone("UTC", func.now()), Date)
    statement = insert(usage).values(account_id=account_id, day=today, outcomes=outcomes)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[usage.c.account_id, usage.c.day],
            set_={"outcomes": usage.c.outcomes + statement.excluded.outcomes},
        )
    )


@dataclass(slots=True)
class _Usage:
    """Usage of an account as one worker knows it; `unwritten` rows are admitted but not part of the totals yet."""

    today: int = 0
    open: int = 0
    unwritten: int = 0


class PredictionQuotas:
    """Admits predictions of accounts. Thread-safe: the event loop admits, the writer of the log updates."""

    def __init__(self, *, max_daily: int, max_open: int) -> None:
        self._max_daily, self._max_open = max_daily, max_open
        self._lock = threading.Lock()
        self._day = _today()
        self._usage: dict[int, _Usage] = {}
        self._refused: set[int] = set()

    def admit(self, account_id: int, rows: int) -> None:
        """Count predictions that are about to be made.

        Raises:
            RateLimitedError: They would exceed a limit; none of them is counted.
        """
        with self._lock:
            today = _today()
            if self._day != today:
                self._day, self._usage, self._refused = today, {}, set()
            usage_now = self._usage.get(account_id)
            if usage_now is None:
                usage_now = self._usage[account_id] = _Usage()
            wanted = usage_now.unwritten + rows
            if usage_now.today + wanted <= self._max_daily and usage_now.open + wanted <= self._max_open:
                usage_now.unwritten = wanted
                return
            self._refused.add(account_id)
            daily_left = max(0, self._max_daily - usage_now.today - usage_now.unwritten)
        if daily_left < rows:
            raise RateLimitedError(
                f"This account has {daily_left:,} of its {self._max_daily:,} predictions of a day (UTC) left.",
                retry_after_seconds=_DAY_SECONDS - int(time.time()) % _DAY_SECONDS,
            )
        raise RateLimitedError(
            f"This account has its {self._max_open:,} open predictions of {OPEN_DAYS} days: report outcomes first.",
            retry_after_seconds=OPEN_RETRY_SECONDS,
        )

    def release(self, account_id: int, rows: int) -> None:
        """Take back admitted predictions that were not made or will not be stored."""
        with self._lock:
            if (usage_now := self._usage.get(account_id)) is not None:
                usage_now.unwritten = max(0, usage_now.unwritten - rows)

    def subtract_open(self, account_id: int, outcomes: int) -> None:
        """Count outcomes that were reported for open predictions."""
        with self._lock:
            if (usage_now := self._usage.get(account_id)) is not None:
                usage_now.open = max(0, usage_now.open - outcomes)

    def update(self, written: Mapping[int, int], totals: Iterable[UsageTotals]) -> None:
        """Take over the totals after rows were written.

        Args:
            written: Rows by account that are part of the totals now.
            totals: The totals of these accounts.
        """
        with self._lock:
            for total in totals:
                if (total.day - _EPOCH).days != self._day:
                    continue
                usage_now = self._usage.setdefault(total.account_id, _Usage())
                usage_now.unwritten = max(0, usage_now.unwritten - written.get(total.account_id, 0))
                usage_now.today, usage_now.open = total.today, total.open

    def take_refused(self) -> set[int]:
        """Return the accounts that were refused since the last call: their totals may be out of date."""
        with self._lock:
            refused, self._refused = self._refused, set()
            return refused


def _today() -> int:
    """Return the day in UTC, in days since 1970."""
    return int(time.time()) // _DAY_SECONDS
