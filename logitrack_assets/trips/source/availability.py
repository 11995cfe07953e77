"""Which months a source has, found by probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from logitrack_assets.months import Month
from logitrack_assets.trips.source.source import Source

EARLIEST_MONTH = Month.parse("2009-01")
"""The first month that the TLC published."""

MAX_EMPTY_MONTHS = 120
"""Months without a file, counted from the newest back, after which a source counts as empty."""


def newest_months(source: Source, fleets: Sequence[str], count: int, until: Month) -> list[str]:
    """Return the newest months of a source, sorted.

    A month counts when at least one fleet has a file. Each probe of an HTTP server is one HEAD request; the search
    ends after `count` months, or `MAX_EMPTY_MONTHS` after the last one that was found.

    Args:
        source: Where files are published.
        fleets: Fleets that count.
        count: Maximum number of months.
        until: The newest month to probe.

    Raises:
        SourceError: The source does not answer.
    """
    found: list[Month] = []
    for month in _backwards(until):
        if len(found) == count or (found or [until])[-1].number - month.number > MAX_EMPTY_MONTHS:
            break
        if _has(source, fleets, month):
            found.append(month)
    return [str(month) for month in reversed(found)]


def first_month(source: Source, fleets: Sequence[str], until: Month) -> str | None:
    """Return the first month of a source, or None when it has none. Probes every month: for folders.

    Raises:
        SourceError: The source does not answer.
    """
    months = Month.range(EARLIEST_MONTH, until)
    return next((str(month) for month in months if _has(source, fleets, month)), None)


def _has(source: Source, fleets: Sequence[str], month: Month) -> bool:
    return any(source.probe(fleet, str(month)) is not None for fleet in fleets)


def _backwards(until: Month) -> Iterator[Month]:
    return reversed(Month.range(EARLIEST_MONTH, until))
