"""Execution of reports, with a cache of their results.

Rollups change only when a month is published, so a result stays valid until the next publication. The ETag of a result
identifies the statement and the state of the data.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import trip_months
from logitrack_service.analytics.pages import encode_cursor
from logitrack_service.analytics.statements import ReportStatement, Row

MAX_CACHED_ROWS = 20_000  # of all results together, about 15 MB
MAX_DATA_VERSION_AGE_SECONDS = 1.0
DECIMALS = 4


@dataclass(frozen=True)
class ReportResult(Generic[Row]):
    """The rows of an executed report.

    Attributes:
        rows: Rows in the order of the statement.
        trips: Number of trips (or outcomes) in these rows.
        next: Cursor of the next page; None on the last one.
        etag: Entity tag, without quotes.
    """

    rows: list[Row]
    trips: int
    next: str | None
    etag: str


class Reports:
    """Executes reports and caches results until the next month is published."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._results: OrderedDict[str, ReportResult[Any]] = OrderedDict()  # by ETag, least recently used first
        self._cached_rows = 0
        self._data_version, self._data_version_at = "", 0.0

    async def run(self, statement: ReportStatement[Row]) -> ReportResult[Row]:
        """Return a report's result, from the cache where the data has not changed; live reports are never cached."""
        if statement.source == "live":
            rows = await self._fetch(statement)
            return _result(statement, rows, _etag(statement.cache_key, repr(rows)))
        etag = _etag(statement.cache_key, await self._current_data_version())
        result = self._results.get(etag)
        if result is None:
            result = _result(statement, await self._fetch(statement), etag)
            self._store(result)
        else:
            self._results.move_to_end(etag)
        return result

    async def _fetch(self, statement: ReportStatement[Row]) -> list[Row]:
        async with self._engine.connect() as connection:
            records = (await connection.execute(text(statement.sql), statement.values)).mappings().all()
        return [_row(statement.row_type, dict(record)) for record in records]

    def _store(self, result: ReportResult[Any]) -> None:
        if result.etag in self._results:  # a concurrent request stored it first
            return
        self._results[result.etag] = result
        self._cached_rows += len(result.rows) + 1
        while self._cached_rows > MAX_CACHED_ROWS:
            _, oldest = self._results.popitem(last=False)
            self._cached_rows -= len(oldest.rows) + 1

    async def _current_data_version(self) -> str:
        """Return a text that changes when a month is published; read at most once a second."""
        if time.monotonic() - self._data_version_at > MAX_DATA_VERSION_AGE_SECONDS:
            published = select(func.count(), cast(func.max(trip_months.c.published_at), Text)).select_from(trip_months)
            async with self._engine.connect() as connection:
                count, last_published_at = (await connection.execute(published)).one()
            self._data_version = f"{count}/{last_published_at}"
            self._data_version_at = time.monotonic()
        return self._data_version


def _row(row_type: type[Row], record: dict[str, Any]) -> Row:
    rounded = {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in record.items()}
    return row_type(**rounded)


def _result(statement: ReportStatement[Row], rows: list[Row], etag: str) -> ReportResult[Row]:
    trips = sum(getattr(row, statement.count_column) or 0 for row in rows) if statement.count_column else 0
    following = None
    if statement.sort_key and len(rows) == statement.page_rows:
        following = encode_cursor(*(getattr(rows[-1], name) for name in statement.sort_key))
    return ReportResult(rows, trips, following, etag)


def _etag(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
