"""The manifest of a cleaned month."""

import json
from datetime import UTC, datetime

import pytest

from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.trips.errors import MonthError
from logitrack_assets.trips.manifest import MonthManifest, RowCounts, load_manifest, month_summary_tables
from logitrack_assets.trips.rules import REASONS

MANIFEST_2019_01 = MonthManifest(
    month="2019-01",
    counts={"green": RowCounts(10, 8, {"too_long": 2}), "yellow": RowCounts(30, 29, {"too_short": 1})},
    digests={"green": "a", "yellow": "b"},
    urls={"green": "file:///g", "yellow": "file:///y"},
    published_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


def test_manifest_survives_json():
    assert MonthManifest.from_json(json.loads(json.dumps(MANIFEST_2019_01.to_json()))) == MANIFEST_2019_01


def test_load_manifest_returns_the_published_version(tmp_path):
    lake = Lake(tmp_path)
    lake.silver("2019-01").mkdir(parents=True)
    write_json(lake.silver("2019-01") / MANIFEST, MANIFEST_2019_01.to_json())
    assert load_manifest(lake, "2019-01") == MANIFEST_2019_01
    assert lake.silver_version("2019-01") == MANIFEST_2019_01.version
    with pytest.raises(MonthError, match="2019-02 has no valid trips in the lake"):
        load_manifest(lake, "2019-02")


def test_each_cleaning_has_its_own_version():
    again = MonthManifest("2019-01", {}, {}, {})
    assert again.version != MANIFEST_2019_01.version


def test_totals_sum_all_fleets():
    assert (MANIFEST_2019_01.silver_rows, MANIFEST_2019_01.rejected_rows) == (37, 3)
    assert MANIFEST_2019_01.rejection_rate == pytest.approx(3 / 40)
    assert MANIFEST_2019_01.rejected_by("too_long") == 2
    assert MANIFEST_2019_01.counts["green"].rejection_rate == pytest.approx(0.2)


def test_month_summary_tables_list_every_fleet_and_rule():
    tables = month_summary_tables(MANIFEST_2019_01, sample_rows=20)
    assert tables["trip_months"]["sample_rows"].to_pylist() == [8, 20]
    rows = tables["rejections"].to_pylist()
    assert len(rows) == 2 * len(REASONS)
    assert {(row["fleet"], row["rule"]): row["trips"] for row in rows if row["trips"]} == {
        ("green", "too_long"): 2,
        ("yellow", "too_short"): 1,
    }
