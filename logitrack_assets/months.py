"""Calendar months as values.

Paths, JSON documents and Dagster's partition keys carry a month as `YYYY-MM`; whatever is computed from a month goes
through `Month`. Imports light: the standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

_KEY = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month of New York's wall clock; `str(month)` is its `YYYY-MM` key.

    Attributes:
        number: Months since January 1970, as in numpy's `datetime64[M]`.
    """

    number: int

    @classmethod
    def parse(cls, key: str) -> Self:
        """Return the month with the key `YYYY-MM`.

        Raises:
            ValueError: The text is not such a key.
        """
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{key!r} is not a month: write YYYY-MM")
        return cls((int(match[1]) - 1970) * 12 + int(match[2]) - 1)

    @classmethod
    def range(cls, first: Self, last: Self) -> list[Self]:
        """Return all months from `first` to `last`, both included; empty when `last` is earlier."""
        return [cls(number) for number in range(first.number, last.number + 1)]

    @property
    def year(self) -> int:
        """The calendar year."""
        return 1970 + self.number // 12

    @property
    def start(self) -> datetime:
        """The first moment of the month, naive wall clock."""
        return datetime(self.year, self.number % 12 + 1, 1)

    @property
    def end(self) -> datetime:
        """The first moment after the month, naive wall clock."""
        return self.next.start

    @property
    def next(self) -> Self:
        """The month after this one."""
        return type(self)(self.number + 1)

    @property
    def previous(self) -> Self:
        """The month before this one."""
        return type(self)(self.number - 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number % 12 + 1:02d}"
