"""Quality checks that compare months, on small hand-made folders; `test_months` runs the others on real months."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.trips.manifest import MonthManifest, RowCounts
from logitrack_assets.trips.quality import MonthProfile, month_profile, volume_and_duration_in_range


def write_month(
    lake: Lake, month: str, *, fleet: str = "yellow", rows: int = 100, rejected: int = 5, minutes: float = 12
):
    folder = lake.silver(month)
    folder.mkdir(parents=True)
    counts = {fleet: RowCounts(rows, rows - rejected, {"too_long": rejected})}
    write_json(folder / MANIFEST, MonthManifest(month, counts, {fleet: "a"}, {fleet: "u"}).to_json())
    trips = pa.table({"fleet": [fleet] * (rows - rejected), "duration_minutes": [float(minutes)] * (rows - rejected)})
    pq.write_table(trips, folder / "part-0.parquet")


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    for month in ("2019-01", "2019-02", "2019-03"):
        write_month(lake, month)
    return lake


def test_month_profile_summarises_each_fleet(lake):
    assert month_profile(lake, "2019-01") == {"yellow": MonthProfile(100, 0.05, 12.0)}


def test_similar_month_has_no_problem(lake):
    write_month(lake, "2019-04", rows=110, rejected=6, minutes=13)
    assert list(volume_and_duration_in_range(lake, "2019-04")) == []


def test_first_month_and_new_fleet_have_nothing_to_compare_with(lake):
    write_month(lake, "2019-04", fleet="green", rows=10, rejected=9, minutes=99)
    assert list(volume_and_duration_in_range(lake, "2019-01")) == []
    assert list(volume_and_duration_in_range(lake, "2019-04")) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rejected": 9}, "2019-04 yellow: 9.0% of the rows are rejected, recently 5.0%"),
        ({"rows": 160, "rejected": 8}, "2019-04 yellow: 160 rows, recently 100"),
        ({"rows": 40, "rejected": 2}, "2019-04 yellow: 40 rows, recently 100"),
        ({"minutes": 15}, "2019-04 yellow: the median trip takes 15.0 minutes, recently 12.0"),
    ],
    ids=["rejections", "more rows", "fewer rows", "duration"],
)
def test_deviation_beyond_limit_is_a_problem(lake, change, problem):
    write_month(lake, "2019-04", **change)
    assert list(volume_and_duration_in_range(lake, "2019-04")) == [problem]
