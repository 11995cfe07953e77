"""New York's calendar: holidays, weekdays, and the two ambiguous hours of a year."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from logitrack_assets.nyc_calendar import (
    clock_changes,
    from_wall_clock,
    hour_of_day,
    is_holiday,
    iso_weekday,
    to_wall_clock,
)


def test_holidays_include_federal_and_state_ones():
    days = np.array(
        ["2019-07-04T23:59", "2019-02-12", "2021-06-18", "2022-12-26", "2019-07-05", "NaT"], dtype="datetime64[s]"
    )
    # Independence Day, Lincoln's birthday (New York), Juneteenth observed, Christmas observed.
    assert is_holiday(days).tolist() == [True, True, True, True, False, False]


def test_is_holiday_accepts_empty_array():
    assert is_holiday(np.array([], dtype="datetime64[s]")).tolist() == []


def test_weekdays_and_hours_match_standard_library():
    moments = np.arange("1969-12-28T00:30", "1970-01-20", 61, dtype="datetime64[m]")
    python = moments.astype(datetime)
    assert iso_weekday(moments).tolist() == [moment.isoweekday() for moment in python]
    assert hour_of_day(moments).tolist() == [moment.hour for moment in python]


@pytest.mark.parametrize("year", [2011, 2019, 2020, 2026])
def test_clock_changes_are_second_march_and_first_november_sunday(year):
    changes = clock_changes(year)
    march = [date(year, 3, day) for day in range(1, 32) if date(year, 3, day).isoweekday() == 7]
    november = [date(year, 11, day) for day in range(1, 31) if date(year, 11, day).isoweekday() == 7]
    assert changes.missing_from == datetime(march[1].year, 3, march[1].day, 2)
    assert changes.doubled_from == datetime(november[0].year, 11, november[0].day, 1)
    assert changes.missing_until - changes.missing_from == timedelta(hours=1)


def test_to_wall_clock_converts_offsets_and_keeps_naive_times():
    assert to_wall_clock(datetime(2019, 7, 1, 16, tzinfo=UTC)) == datetime(2019, 7, 1, 12)
    assert to_wall_clock(datetime(2019, 1, 1, 16, tzinfo=UTC)) == datetime(2019, 1, 1, 11)
    assert to_wall_clock(datetime(2019, 3, 10, 2, 30)) == datetime(2019, 3, 10, 2, 30)  # does not exist: kept


def test_autumn_hour_means_its_first_occurrence():
    occurrences = [datetime(2019, 11, 3, hour, 30, tzinfo=UTC) for hour in (5, 6)]
    assert [to_wall_clock(moment) for moment in occurrences] == [datetime(2019, 11, 3, 1, 30)] * 2
    # Compared as timestamps: aware datetimes of different zones never compare equal in a repeated hour (PEP 495).
    assert from_wall_clock(datetime(2019, 11, 3, 1, 30)).timestamp() == occurrences[0].timestamp()


def test_missing_spring_hour_is_read_with_offset_before_change():
    assert from_wall_clock(datetime(2019, 3, 10, 2, 30)).isoformat() == "2019-03-10T03:30:00-04:00"
    with pytest.raises(ValueError, match="no offset"):
        from_wall_clock(datetime(2019, 3, 10, tzinfo=UTC))
