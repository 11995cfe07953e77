"""Monthly partitions of all trip assets, and ranges of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from dagster import MonthlyPartitionsDefinition
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from logitrack_assets.months import Month
from logitrack_assets.settings import get_settings


def monthly_partitions(first: str, last: str | None = None) -> MonthlyPartitionsDefinition:
    """Return one partition per calendar month, keyed `YYYY-MM`.

    Args:
        first: The first month.
        last: The last month; the last complete one when None.
    """
    end = str(Month.parse(last).next) if last is not None else None  # Dagster excludes the end
    return MonthlyPartitionsDefinition(start_date=first, end_date=end, fmt="%Y-%m")


MONTHS = monthly_partitions(get_settings().first_month, get_settings().last_month)
"""The partitions of all trip assets. All fleets report zones from 2011 on."""


def month_range(first: str, last: str) -> list[str]:
    """Return the keys of all months from `first` to `last`, both `YYYY-MM` and both included."""
    return [str(month) for month in Month.range(Month.parse(first), Month.parse(last))]


def months_of_run(tags: Mapping[str, str]) -> list[str] | None:
    """Return the months that a run is launched for, by its tags; None for a run without partitions."""
    if month := tags.get(PARTITION_NAME_TAG):
        return [month]
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return None if first is None or last is None else month_range(first, last)


def contiguous(months: list[str]) -> list[tuple[str, str]]:
    """Return sorted month keys as the least number of ranges (first, last).

    >>> contiguous(["2023-05", "2023-06", "2023-08"])
    [('2023-05', '2023-06'), ('2023-08', '2023-08')]
    """
    if not months:
        return []
    breaks = [i for i, (a, b) in enumerate(pairwise(months), 1) if Month.parse(b) != Month.parse(a).next]
    starts, ends = [0, *breaks], [*breaks, len(months)]
    return [(months[start], months[end - 1]) for start, end in zip(starts, ends, strict=True)]
