"""The months that a source has, found by probes."""

from __future__ import annotations

from pathlib import Path

import pytest

from logitrack_assets.months import Month
from logitrack_assets.trips.source import Source, SourceUnavailableError, first_month, newest_months

UNTIL = Month.parse("2026-10")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with green months of 2020, one of 2022, and a yellow one of 2019."""
    (tmp_path / "trip-data").mkdir()
    for name in [*(f"green_tripdata_2020-{month:02d}" for month in range(1, 13)), "green_tripdata_2022-05"]:
        (tmp_path / "trip-data" / f"{name}.parquet").write_bytes(b"")
    (tmp_path / "trip-data" / "yellow_tripdata_2019-07.parquet").write_bytes(b"")
    return tmp_path


def test_newest_months_skip_gaps_and_other_fleets(folder: Path) -> None:
    months = newest_months(Source(str(folder)), ["green"], 3, UNTIL)
    assert months == ["2020-11", "2020-12", "2022-05"]


def test_newest_months_are_all_when_there_are_fewer(folder: Path) -> None:
    assert len(newest_months(Source(str(folder)), ["green"], 100, UNTIL)) == 13
    assert newest_months(Source(str(folder)), ["green", "yellow"], 100, UNTIL)[0] == "2019-07"


def test_newest_months_end_at_a_month(folder: Path) -> None:
    assert newest_months(Source(str(folder)), ["green"], 1, Month.parse("2020-06")) == ["2020-06"]


def test_search_is_bounded(folder: Path) -> None:
    probed: list[str] = []

    class Empty(Source):
        def probe(self, fleet: str, month: str) -> None:
            probed.append(month)

    assert newest_months(Empty("https://example.org"), ["green"], 3, UNTIL) == []
    assert len(probed) == 121


def test_first_month_is_of_the_given_fleets(folder: Path) -> None:
    assert first_month(Source(str(folder)), ["green"], UNTIL) == "2020-01"
    assert first_month(Source(str(folder)), ["green", "yellow"], UNTIL) == "2019-07"
    assert first_month(Source(str(folder)), ["green"], Month.parse("2019-12")) is None


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError):
        newest_months(Source(str(tmp_path / "nowhere")), ["green"], 1, UNTIL)
