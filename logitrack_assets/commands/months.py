"""Months as people write them: `2019-03`, `2019-01:2019-06`, several separated by commas."""

from __future__ import annotations

import re

from logitrack_assets.errors import LogitrackError
from logitrack_assets.partitions import MONTHS, month_range

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def parse_months(text: str) -> list[str]:
    """The months that a text names, in order, each once.

    >>> parse_months("2019-11:2020-01")
    ['2019-11', '2019-12', '2020-01']

    Raises:
        LogitrackError: a part is no month, a range runs backwards, or a month has no partition.
    """
    months: set[str] = set()
    for part in (piece.strip() for piece in text.split(",") if piece.strip()):
        first, _, last = part.partition(":")
        last = last or first
        for month in (first, last):
            if not _MONTH.fullmatch(month):
                raise LogitrackError(f"{month!r} is no month: write YYYY-MM, or a range such as 2019-01:2019-06.")
        if last < first:
            raise LogitrackError(f"The range {part} runs backwards: write {last}:{first}.")
        months.update(month_range(first, last))
    if not months:
        raise LogitrackError("No month given: write YYYY-MM, or a range such as 2019-01:2019-06.")
    known = set(MONTHS.get_partition_keys())
    if unknown := sorted(months - known):
        raise LogitrackError(
            f"{', '.join(unknown)} cannot have been published: months run from {min(known)} to {max(known)}."
        )
    return sorted(months)
