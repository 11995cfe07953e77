"""Reports: questions about durations that many people ask, answered from the rollups.

Rollups change when a month is published and at no other time, so an answer is kept until then: what is asked again is
answered from memory, with an ETag that says which data it rests on.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MAX_CACHED_ROWS = 20_000  # of all answers together: some 15 MB
VERSION_SECONDS = 1.0  # how long "nothing was published meanwhile" is believed

_VERSION = text("select count(*) || '/' || coalesce(max(published_at)::text, '') from warehouse.trip_months")


@dataclass(frozen=True)
class Report:
    """Rows, and what they rest on."""

    rows: list[dict[str, Any]]
    source: str
    """rollup, sample or live."""
    exact: bool
    trips: int
    next: str | None = None
    """Cursor of the next page."""


class Reports:
    """Runs reports and remembers answers for as long as the data stays the same."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._answers: OrderedDict[tuple[str, str], Report] = OrderedDict()
        self._rows = 0
        self._version, self._version_at = "", 0.0

    async def answer(
        self, question: str, ask: Callable[[AsyncConnection], Awaitable[Report]], *, live: bool = False
    ) -> tuple[Report, str]:
        """A report and its ETag. A live one is always asked anew."""
        if live:
            async with self._database.connect() as connection:
                report = await ask(connection)
            return report, _etag(question, repr(report))
        version = await self._data_version()
        key = (question, version)
        report = self._answers.get(key)  # type: ignore[assignment]
        if report is None:
            async with self._database.connect() as connection:
                report = await ask(connection)
            self._keep(key, report)
        else:
            self._answers.move_to_end(key)
        return report, _etag(question, version)

    def _keep(self, key: tuple[str, str], report: Report) -> None:
        if key not in self._answers:  # another request may have asked the same meanwhile
            self._answers[key] = report
            self._rows += len(report.rows) + 1
        while self._rows > MAX_CACHED_ROWS:
            _, oldest = self._answers.popitem(last=False)
            self._rows -= len(oldest.rows) + 1

    async def _data_version(self) -> str:
        if time.monotonic() - self._version_at > VERSION_SECONDS:
            async with self._database.connect() as connection:
                self._version = str(await connection.scalar(_VERSION))
            self._version_at = time.monotonic()
        return self._version


def _etag(*parts: str) -> str:
    return '"' + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32] + '"'
