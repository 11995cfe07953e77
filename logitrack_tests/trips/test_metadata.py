"""Metadata that Dagster's UI shows."""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.trips.manifest import MonthManifest, RowCounts
from logitrack_assets.trips.metadata import (
    NO_BREAK_HYPHEN,
    months_overview,
    preview_trips,
    rejected_metadata,
    silver_metadata,
)
from logitrack_assets.trips.plots import rejections_by_rule

TRIP = {
    "fleet": "yellow",
    "pickup_at": datetime(2019, 1, 5, 7, 8, 9),
    "pickup_zone": 132,
    "dropoff_zone": 236,
    "duration_minutes": 31.26,
    "distance_miles": 17.04,
}


def clean_month(lake: Lake, month: str, rejected: int = 5) -> MonthManifest:
    manifest = MonthManifest(
        month, {"yellow": RowCounts(100, 100 - rejected, {"too_long": rejected})}, {"yellow": "a"}, {"yellow": "u"}
    )
    for folder, extra in ((lake.silver(month), {}), (lake.rejected(month), {"rule": "too_long"})):
        folder.mkdir(parents=True)
        write_json(folder / MANIFEST, manifest.to_json())
        pq.write_table(pa.Table.from_pylist([TRIP | extra] * 20), folder / "part-0.parquet")
    return manifest


def test_preview_shows_zone_names_and_tenths():
    unknown = TRIP | {"fleet": "green", "pickup_at": None, "dropoff_zone": 999, "distance_miles": None}
    first, second = preview_trips(pa.Table.from_pylist([TRIP, unknown])).records
    assert first.data == {
        "fleet": "yellow", "pickup": "2019-01-05 07:08".replace("-", NO_BREAK_HYPHEN), "from": "JFK Airport",
        "to": "Upper East Side North", "minutes": 31.3, "miles": 17.0,
    }  # fmt: skip
    assert (second.data["pickup"], second.data["to"], second.data["miles"]) == (None, "zone 999", None)


def test_preview_of_one_fleet_has_no_column_for_it():
    (record,) = preview_trips(pa.Table.from_pylist([TRIP])).records
    assert list(record.data) == ["pickup", "from", "to", "minutes", "miles"]


def test_preview_of_no_trips_is_an_empty_table():
    assert preview_trips(pa.table({})).records == []


def test_silver_and_rejected_metadata_record_the_same_version(tmp_path):
    lake = Lake(tmp_path)
    manifest = clean_month(lake, "2019-01")
    silver, rejected = silver_metadata(manifest, lake), rejected_metadata(manifest, lake)
    assert silver["version"] == rejected["version"] == lake.silver_version("2019-01")
    assert (silver["dagster/row_count"], rejected["dagster/row_count"]) == (95, 5)
    assert rejected["too_long"] == 5
    assert len(silver["preview"].records) == 5
    assert rejected["preview"].records[0].data["rule"] == "too_long"
    assert [row.data["yellow rows"] for row in rejected["by_rule"].records if row.data["rule"] == "too_long"] == [5]
    assert [column.type for column in silver["preview"].schema.columns] == ["string"] * 3 + ["float"] * 2


def test_months_overview_has_one_row_for_each_gap(tmp_path):
    lake = Lake(tmp_path)
    for month in ("2018-09", "2018-12", "2019-02"):
        clean_month(lake, month)
    silver, rejected = months_overview(lake)
    assert [(row.data["month"], row.data["state"], row.data["yellow rejected"]) for row in
            silver["months_side_by_side"].records] == [
        ("2018-09", "clean", "5.00%"), ("2018-10 to 2018-11", "MISSING", "no file"), ("2018-12", "clean", "5.00%"),
        ("2019-01", "MISSING", "no file"), ("2019-02", "clean", "5.00%"),
    ]  # fmt: skip
    assert rejected["rejections_over_months"].value.startswith("![rejections by rule](data:image/png;base64,")


def test_rejections_figure_starts_at_zero_and_labels_at_most_twelve_months(tmp_path):
    manifests = [clean_month(Lake(tmp_path), f"{year}-{month:02d}") for year in (2018, 2019) for month in range(1, 13)]
    (axes,) = rejections_by_rule(manifests).axes
    assert axes.get_ylim()[0] == 0
    assert len(axes.get_xticks()) == 12
    assert [patch.get_height() for patch in axes.patches] == [5.0] * 24


def test_rejections_figure_of_months_without_rejections_is_drawn(tmp_path):
    (axes,) = rejections_by_rule([clean_month(Lake(tmp_path), "2019-01", rejected=0)]).axes
    assert list(axes.patches) == []
