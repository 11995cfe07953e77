"""New York's calendar and wall clock.

Trip records carry wall-clock times without a zone, and they are never shifted. Two hours a year are ambiguous: in
spring 02:00 to 03:00 does not exist, in autumn 01:00 to 02:00 occurs twice. `clock_changes` returns them, so that the
cleaning rules can reject the few trips whose duration is not the difference of two wall-clock times.

Imports light (numpy and `holidays`): the service and the model's features use it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import numpy as np
from numpy.typing import NDArray

NEW_YORK = ZoneInfo("America/New_York")


@lru_cache(maxsize=256)
def holidays_in(year: int) -> NDArray[np.datetime64]:
    """Return the public holidays of the United States and of New York State in a year, observed days included.

    Returns:
        Sorted, read-only array of `datetime64[D]`. Source: the `holidays` package.
    """
    days = holidays.country_holidays("US", subdiv="NY", years=year)
    array = np.array(sorted(day for day in days if day.year == year), dtype="datetime64[D]")
    array.flags.writeable = False
    return array


def is_holiday(moments: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Return whether the day of each moment is a holiday in New York; False for not-a-time.

    Args:
        moments: Any shape, any datetime64 unit.
    """
    days = np.asarray(moments).astype("datetime64[D]")
    years = np.unique(days[~np.isnat(days)].astype("datetime64[Y]"))
    if years.size == 0:
        return np.zeros(days.shape, dtype=np.bool_)
    holiday_dates = np.concatenate([holidays_in(int(year)) for year in years.astype(np.int64) + 1970])
    return np.isin(days, holiday_dates)


def iso_weekday(moments: NDArray[np.datetime64]) -> NDArray[np.int8]:
    """Return the ISO weekday of each moment: Monday is 1, Sunday is 7."""
    days = np.asarray(moments).astype("datetime64[D]").astype(np.int64)
    weekdays: NDArray[Any] = (days + 3) % 7 + 1  # 1970-01-01 was a Thursday
    return weekdays.astype(np.int8)


def hour_of_day(moments: NDArray[np.datetime64]) -> NDArray[np.int8]:
    """Return the hour of each moment on the wall clock, 0 to 23."""
    hours = np.asarray(moments).astype("datetime64[h]").astype(np.int64)
    return (hours % 24).astype(np.int8)


def to_wall_clock(moment: datetime) -> datetime:
    """Return New York's wall-clock time at `moment`, as a naive datetime.

    Args:
        moment: With an offset, it is converted. Without one, it is New York's wall-clock time already and kept, even
            in the spring hour that does not exist. Both occurrences of the autumn hour return the same time.
    """
    if moment.tzinfo is None:
        return moment.replace(fold=0)
    return moment.astimezone(NEW_YORK).replace(tzinfo=None, fold=0)


def from_wall_clock(reading: datetime) -> datetime:
    """Return the moment, with New York's offset, of the naive wall-clock time `reading`.

    The autumn hour means its first occurrence. The spring hour that does not exist is read with the offset before the
    change, so 02:30 becomes 03:30 daylight time.

    Raises:
        ValueError: The datetime has an offset.
    """
    if reading.tzinfo is not None:
        raise ValueError("a wall-clock reading carries no offset")
    local = reading.replace(tzinfo=NEW_YORK, fold=0)
    return local.astimezone(ZoneInfo("UTC")).astimezone(NEW_YORK)


@dataclass(frozen=True)
class ClockChanges:
    """The two ambiguous hours of a year, as naive wall-clock times.

    Attributes:
        missing_from: Spring: no time in [missing_from, missing_until) exists.
        missing_until: See `missing_from`.
        doubled_from: Autumn: each time in [doubled_from, doubled_until) occurs twice.
        doubled_until: See `doubled_from`.
    """

    missing_from: datetime
    missing_until: datetime
    doubled_from: datetime
    doubled_until: datetime


@lru_cache(maxsize=256)
def clock_changes(year: int) -> ClockChanges:
    """Return New York's clock changes in a year, from the time-zone database.

    Raises:
        LookupError: The year does not have both changes.
    """
    spring = autumn = None
    hour, one_hour = datetime(year, 1, 1), timedelta(hours=1)
    while hour.year == year:
        first, second = hour.replace(tzinfo=NEW_YORK, fold=0), hour.replace(tzinfo=NEW_YORK, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before is not None and after is not None and before != after:
            if before < after:
                spring = hour
            else:
                autumn = hour
        hour += one_hour
    if spring is None or autumn is None:
        raise LookupError(f"New York did not change its clocks twice in {year}")
    return ClockChanges(spring, spring + one_hour, autumn, autumn + one_hour)
