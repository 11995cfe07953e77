"""New York's calendar and wall clock: the only notions of time that trips know.

Trip records carry wall-clock times without a zone, and they are never shifted. What that costs is known and
small: once a year an hour is missing (spring, 02:00 to 03:00) and once an hour happens twice (autumn, 01:00
to 02:00). `clock_changes` says when, so that the cleaning rules can set aside the few trips whose elapsed
time cannot be read off two wall clocks.

This module imports light (numpy and `holidays`): the service and the model's features use it too.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays
import numpy as np
from numpy.typing import NDArray

NEW_YORK = ZoneInfo("America/New_York")


@lru_cache(maxsize=256)
def holidays_in(year: int) -> NDArray[np.datetime64]:
    """The public holidays of the United States and of New York State in a year, observed days included.

    Returns a sorted, read-only array of `datetime64[D]`. Source: the `holidays` package.
    """
    days = holidays.country_holidays("US", subdiv="NY", years=year)
    array = np.array(sorted(day for day in days if day.year == year), dtype="datetime64[D]")
    array.flags.writeable = False
    return array


def is_holiday(moments: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Whether each day (or moment of a day) is a holiday in New York; any shape, any datetime64 unit.

    Not-a-time is no holiday.
    """
    days = np.asarray(moments).astype("datetime64[D]")
    years = np.unique(days[~np.isnat(days)].astype("datetime64[Y]"))
    if years.size == 0:
        return np.zeros(days.shape, dtype=np.bool_)
    known = np.concatenate([holidays_in(int(year)) for year in years.astype(np.int64) + 1970])
    return np.isin(days, known)


def iso_weekday(moments: NDArray[np.datetime64]) -> NDArray[np.int8]:
    """ISO weekday of each day (or moment of a day): Monday is 1, Sunday is 7."""
    days = np.asarray(moments).astype("datetime64[D]").astype(np.int64)
    return ((days + 3) % 7 + 1).astype(np.int8)  # 1970-01-01 was a Thursday


def hour_of_day(moments: NDArray[np.datetime64]) -> NDArray[np.int8]:
    """Hour of each moment on the wall clock, 0 to 23."""
    hours = np.asarray(moments).astype("datetime64[h]").astype(np.int64)
    return (hours % 24).astype(np.int8)


def to_wall_clock(moment: datetime) -> datetime:
    """What New York's clocks show at `moment`, as a naive datetime.

    A moment with an offset is converted; one without is taken to be New York's already and kept as it is, even
    in the spring hour that no clock shows. Both passes of the autumn hour give the same reading.
    """
    if moment.tzinfo is None:
        return moment.replace(fold=0)
    return moment.astimezone(NEW_YORK).replace(tzinfo=None, fold=0)


def from_wall_clock(reading: datetime) -> datetime:
    """The moment, with New York's offset, at which clocks there show the naive `reading`.

    The autumn hour is read as its first pass. The spring hour that no clock shows is read with the offset from
    before the change, so 02:30 becomes the real moment 03:30.

    Raises ValueError for a datetime that has an offset already.
    """
    if reading.tzinfo is not None:
        raise ValueError("a wall-clock reading carries no offset")
    local = reading.replace(tzinfo=NEW_YORK, fold=0)
    return local.astimezone(ZoneInfo("UTC")).astimezone(NEW_YORK)


@dataclass(frozen=True)
class ClockChanges:
    """The two hours of a year that are not like the others, as naive wall-clock times."""

    missing_from: datetime  # spring: no clock shows [missing_from, missing_until)
    missing_until: datetime
    doubled_from: datetime  # autumn: every clock shows [doubled_from, doubled_until) twice
    doubled_until: datetime


@lru_cache(maxsize=256)
def clock_changes(year: int) -> ClockChanges:
    """When New York changes its clocks in a year, from the time-zone database.

    Raises LookupError for a year without the two changes.
    """
    spring = autumn = None
    hour, hours = datetime(year, 1, 1), timedelta(hours=1)
    while hour.year == year:
        first, second = hour.replace(tzinfo=NEW_YORK, fold=0), hour.replace(tzinfo=NEW_YORK, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before is not None and after is not None and before != after:
            if before < after:
                spring = hour
            else:
                autumn = hour
        hour += hours
    if spring is None or autumn is None:
        raise LookupError(f"New York did not change its clocks twice in {year}")
    return ClockChanges(spring, spring + hours, autumn, autumn + hours)
