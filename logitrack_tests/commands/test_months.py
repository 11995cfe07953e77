"""Months as options of the command line."""

from __future__ import annotations

import pytest

from logitrack_assets.commands.months import parse_months
from logitrack_assets.errors import LogitrackError
from logitrack_assets.partitions import contiguous


@pytest.mark.parametrize(
    ("text", "months"),
    [
        ("2019-03", ["2019-03"]),
        ("2019-11:2020-02", ["2019-11", "2019-12", "2020-01", "2020-02"]),
        ("2020-01, 2019-12:2020-01", ["2019-12", "2020-01"]),
    ],
)
def test_months_and_ranges_are_parsed(text: str, months: list[str]) -> None:
    assert parse_months(text) == months


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2019-13", "is no month"),
        ("2019", "is no month"),
        ("../../etc", "is no month"),
        ("2019-06:2019-01", "runs backwards"),
        (" , ", "No month given"),
        ("1999-01", "cannot have been published.* months run from 2011-01"),
        ("2999-01", "cannot have been published.* months run from 2011-01"),
    ],
)
def test_invalid_months_are_errors(text: str, error: str) -> None:
    with pytest.raises(LogitrackError, match=error):
        parse_months(text)


def test_contiguous_months_form_ranges() -> None:
    assert contiguous([]) == []
    assert contiguous(["2019-12", "2020-01", "2020-03"]) == [("2019-12", "2020-01"), ("2020-03", "2020-03")]
