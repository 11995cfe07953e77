"""The month is the partition of everything that is made of trips."""

from __future__ import annotations

from itertools import pairwise

from dagster import MonthlyPartitionsDefinition

MONTHS = MonthlyPartitionsDefinition(start_date="2011-01", fmt="%Y-%m")
"""One partition a calendar month, keyed `YYYY-MM`, from 2011 on: the first year in which all fleets had zones."""


def month_range(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, both `YYYY-MM` and both included."""
    start, end = _ordinal(first), _ordinal(last)
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(start, end + 1)]


def contiguous(months: list[str]) -> list[tuple[str, str]]:
    """The sorted months as as few ranges (first, last) as possible.

    >>> contiguous(["2023-05", "2023-06", "2023-08"])
    [('2023-05', '2023-06'), ('2023-08', '2023-08')]
    """
    if not months:
        return []
    breaks = [i for i, (a, b) in enumerate(pairwise(months), 1) if _ordinal(b) != _ordinal(a) + 1]
    starts, ends = [0, *breaks], [*breaks, len(months)]
    return [(months[start], months[end - 1]) for start, end in zip(starts, ends, strict=True)]


def _ordinal(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:7]) - 1
