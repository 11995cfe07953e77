"""Months as values, and ranges of month keys."""

from datetime import datetime

import numpy as np
import pytest

from logitrack_assets.months import Month
from logitrack_assets.partitions import contiguous, month_range


@pytest.mark.parametrize("key", ["1969-12", "1970-01", "2019-12", "2020-02"])
def test_month_number_matches_numpy(key):
    month = Month.parse(key)
    assert str(month) == key
    assert month.number == np.datetime64(key, "M").astype(np.int64)


@pytest.mark.parametrize("text", ["2019-13", "2019-00", "2019-1", "2019-01-01", "201901", "x2019-01", "2019-01\n", ""])
def test_month_parse_refuses_other_text(text):
    with pytest.raises(ValueError, match="is not a month"):
        Month.parse(text)


def test_month_bounds_and_neighbours_cross_years():
    december = Month.parse("2019-12")
    assert (december.start, december.end) == (datetime(2019, 12, 1), datetime(2020, 1, 1))
    assert december.year == 2019
    assert str(december.next) == "2020-01"
    assert december.next.previous == december
    assert december < december.next


def test_month_range_includes_both_ends():
    assert month_range("2019-11", "2020-02") == ["2019-11", "2019-12", "2020-01", "2020-02"]
    assert month_range("2019-02", "2019-01") == []


def test_contiguous_splits_at_gaps():
    assert contiguous([]) == []
    assert contiguous(["2019-12", "2020-01", "2020-03"]) == [("2019-12", "2020-01"), ("2020-03", "2020-03")]
