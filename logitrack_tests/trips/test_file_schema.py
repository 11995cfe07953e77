"""Files of every generation map to one schema."""

import pyarrow as pa
import pytest

from logitrack_assets.trips.errors import BrokenFileError
from logitrack_assets.trips.file_schema import plan_reading
from logitrack_assets.trips.schema import PUBLISHED_COLUMNS

US = pa.timestamp("us")
REQUIRED = {
    "tpep_pickup_datetime": US, "tpep_dropoff_datetime": US, "trip_distance": pa.float64(),
    "PULocationID": pa.int64(), "DOLocationID": pa.int64(),
}  # fmt: skip


def plan(columns: dict[str, pa.DataType]):
    read = plan_reading(pa.schema(columns), "yellow_tripdata_2019-01.parquet")
    return {reading.column.name: reading.source for reading in read.readings}, read.unread


@pytest.mark.parametrize("name", ["airport_fee", "Airport_fee", "AIRPORT_FEE"])
def test_column_names_match_in_any_case(name):
    sources, unread = plan(REQUIRED | {name: pa.float64()})
    assert sources["airport_fee"] == name
    assert unread == ()


@pytest.mark.parametrize("prefix", ["tpep_", "lpep_", "", "Trip_"])
def test_times_match_under_all_published_names(prefix):
    times = {f"{prefix}pickup_datetime": US, f"{prefix}dropoff_datetime": US}
    sources, _ = plan(times | {name: kind for name, kind in REQUIRED.items() if "datetime" not in name})
    assert sources["pickup_at"] == f"{prefix}pickup_datetime"


def test_plan_has_one_reading_per_canonical_column_in_order():
    assert list(plan(REQUIRED)[0]) == [column.name for column in PUBLISHED_COLUMNS]


def test_missing_and_untyped_optional_columns_read_as_null():
    sources, unread = plan(REQUIRED | {"ehail_fee": pa.null()})
    assert sources["ehail_fee"] is None
    assert sources["cbd_congestion_fee"] is None
    assert unread == ()


def test_new_and_unusable_optional_columns_are_listed_as_unread():
    sources, unread = plan(REQUIRED | {"robot_fee": pa.float64(), "tip_amount": pa.list_(pa.float64())})
    assert unread == ("robot_fee (double)", "tip_amount (list<item: double>)")
    assert sources["tip_amount"] is None


@pytest.mark.parametrize("missing", list(REQUIRED))
def test_missing_required_column_is_named(missing):
    with pytest.raises(BrokenFileError, match=rf"_2019-01.parquet .*published as .*{missing.lower()}"):
        plan({name: kind for name, kind in REQUIRED.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "kind"), [("tpep_pickup_datetime", pa.string()), ("PULocationID", US), ("trip_distance", pa.null())]
)
def test_required_column_of_wrong_type_is_named(name, kind):
    with pytest.raises(BrokenFileError, match=f"{name} has type"):
        plan(REQUIRED | {name: kind})


def test_ambiguous_required_column_is_refused():
    with pytest.raises(BrokenFileError, match="pickup_at occurs more than once"):
        plan(REQUIRED | {"lpep_pickup_datetime": US})
