"""Months as options of the command line: `2019-03`, `2019-01:2019-06`, several separated by commas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from logitrack_assets.errors import LogitrackError
from logitrack_assets.partitions import MONTHS, month_range

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_HINT = "Write YYYY-MM, or a range such as 2019-01:2019-06."


def parse_months(text: str) -> list[str]:
    """Return the months that a text names, sorted and without repetition.

    >>> parse_months("2019-11:2020-01")
    ['2019-11', '2019-12', '2020-01']

    Raises:
        LogitrackError: A part is not a month, a range runs backwards, or a month has no partition.
    """
    months = {month for part in text.split(",") if part.strip() for month in _parse_part(part.strip())}
    if not months:
        raise LogitrackError("No month given.", hint=_HINT)
    partitions = set(MONTHS.get_partition_keys())
    if unknown := sorted(months - partitions):
        raise LogitrackError(
            f"{', '.join(unknown)} cannot have been published.",
            hint=f"The months run from {min(partitions)} to {max(partitions)}.",
        )
    return sorted(months)


def _parse_part(part: str) -> Iterator[str]:
    first, _, last = part.partition(":")
    last = last or first
    for month in (first, last):
        if not _MONTH.fullmatch(month):
            raise LogitrackError(f"{month!r} is no month.", hint=_HINT)
    if last < first:
        raise LogitrackError(f"The range {part} runs backwards.", hint=f"Write {last}:{first}.")
    yield from month_range(first, last)
