"""Every generation of files reads into one schema."""

import pyarrow as pa
import pytest

from logitrack_assets.trips.schema import COLUMNS, BrokenFileError, read_plan

US = pa.timestamp("us")
NEEDED = {
    "tpep_pickup_datetime": US, "tpep_dropoff_datetime": US, "trip_distance": pa.float64(),
    "PULocationID": pa.int64(), "DOLocationID": pa.int64(),
}  # fmt: skip


def plan(columns: dict[str, pa.DataType]):
    read = read_plan(pa.schema(columns), "yellow_tripdata_2019-01.parquet")
    return {reading.column.name: reading.source for reading in read.readings}, read.unknown


@pytest.mark.parametrize("name", ["airport_fee", "Airport_fee", "AIRPORT_FEE"])
def test_a_column_is_known_in_any_case(name):
    sources, unknown = plan(NEEDED | {name: pa.float64()})
    assert sources["airport_fee"] == name
    assert unknown == ()


@pytest.mark.parametrize("prefix", ["tpep_", "lpep_", "", "Trip_"])
def test_pickup_and_dropoff_are_known_under_all_their_names(prefix):
    times = {f"{prefix}pickup_datetime": US, f"{prefix}dropoff_datetime": US}
    sources, _ = plan(times | {name: kind for name, kind in NEEDED.items() if "datetime" not in name})
    assert sources["pickup_at"] == f"{prefix}pickup_datetime"


def test_every_canonical_column_has_a_reading_in_order():
    assert list(plan(NEEDED)[0]) == [column.name for column in COLUMNS]


def test_columns_that_are_not_there_or_have_no_type_are_null():
    sources, unknown = plan(NEEDED | {"ehail_fee": pa.null()})
    assert sources["ehail_fee"] is None
    assert sources["cbd_congestion_fee"] is None
    assert unknown == ()


def test_a_new_column_is_noted_and_an_optional_one_of_a_wrong_type_too():
    sources, unknown = plan(NEEDED | {"robot_fee": pa.float64(), "tip_amount": pa.list_(pa.float64())})
    assert unknown == ("robot_fee (double)", "tip_amount (list<item: double>)")
    assert sources["tip_amount"] is None


@pytest.mark.parametrize("missing", list(NEEDED))
def test_a_missing_necessary_column_is_named(missing):
    with pytest.raises(BrokenFileError, match=rf"_2019-01.parquet .*known|published as .*{missing.lower()}"):
        plan({name: kind for name, kind in NEEDED.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "kind"), [("tpep_pickup_datetime", pa.string()), ("PULocationID", US), ("trip_distance", pa.null())]
)
def test_a_necessary_column_of_a_wrong_type_is_named(name, kind):
    with pytest.raises(BrokenFileError, match=f"{name} has type"):
        plan(NEEDED | {name: kind})


def test_two_columns_for_one_necessary_meaning_are_refused():
    with pytest.raises(BrokenFileError, match="pickup_at is there more than once"):
        plan(NEEDED | {"lpep_pickup_datetime": US})
