"""Cleaning rules and derived columns on small hand-made files."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from logitrack_assets.months import Month
from logitrack_assets.trips import cleaning
from logitrack_assets.trips.file_schema import plan_reading
from logitrack_assets.trips.rules import RULES
from logitrack_assets.trips.schema import REJECTED

SPRING, AUTUMN = datetime(2019, 3, 10), datetime(2019, 11, 3)
TYPES = {
    "VendorID": pa.int64(), "tpep_pickup_datetime": pa.timestamp("us"), "tpep_dropoff_datetime": pa.timestamp("us"),
    "trip_distance": pa.float64(), "PULocationID": pa.int64(), "DOLocationID": pa.int64(),
    "passenger_count": pa.float64(), "fare_amount": pa.float64(),
}  # fmt: skip


def ride(pickup: datetime, minutes: float = 10, **other: Any) -> dict[str, Any]:
    return {
        "VendorID": 1, "tpep_pickup_datetime": pickup, "tpep_dropoff_datetime": pickup + timedelta(minutes=minutes),
        "trip_distance": 2.0, "PULocationID": 132, "DOLocationID": 236, "passenger_count": 1, "fare_amount": 10.0,
    } | other  # fmt: skip


def checked(
    spark: SparkSession, folder: Path, month: str, rides: list[dict], types: dict[str, pa.DataType] = TYPES
) -> list[dict[str, Any]]:
    """Return the rows with their violated rule, in the order of the file."""
    path = folder / "rides.parquet"
    pq.write_table(pa.Table.from_pylist(rides, pa.schema(types)), path)
    raw = cleaning.read_file(spark, path, plan_reading(pq.read_schema(path), path.name), "yellow")
    trips = cleaning.add_derived_columns(raw, cleaning.month_parameters(spark, Month.parse(month)))
    rows = cleaning.apply_rules(trips, cleaning.find_duplicates(trips)).toArrow().to_pylist()
    assert len(rows) == len(rides)
    return rows


def test_each_rule_rejects_its_example(spark, tmp_path):
    noon = datetime(2019, 3, 5, 12)
    rides = {
        None: ride(noon),
        "missing_time": ride(noon) | {"tpep_dropoff_datetime": None},
        "outside_month": ride(datetime(2019, 4, 1)),
        "clock_change": ride(SPRING + timedelta(minutes=110), 75),
        "dropoff_not_after_pickup": ride(noon, 0),
        "too_short": ride(noon, 0.9),
        "too_long": ride(noon, 181),
        "unknown_zone": ride(noon, DOLocationID=264),
        "impossible_speed": ride(noon, 10, trip_distance=20.0),
        "duplicate": ride(noon, fare_amount=-10.0),
    }
    rules = [row["rule"] for row in checked(spark, tmp_path, "2019-03", list(rides.values()))]
    assert rules == list(rides)
    assert {rule.name for rule in RULES} == set(filter(None, rides)), "every rule is covered by a ride"


def test_limits_are_inclusive(spark, tmp_path):
    month = Month.parse("2019-03")
    first, after = month.start, month.end
    rides = [
        ride(first),
        ride(after - timedelta(seconds=1)),
        ride(first, 1, trip_distance=1.0),
        ride(first, 180),
        ride(first, PULocationID=1),
        ride(first, PULocationID=263),
        ride(first, 60, trip_distance=80.0),
        ride(after),
        ride(first - timedelta(seconds=1)),
        ride(first, PULocationID=0),
        ride(first, PULocationID=-32768),
        ride(first, PULocationID=70_000),
        ride(first, PULocationID=None),
    ]
    rules = [row["rule"] for row in checked(spark, tmp_path, "2019-03", rides)]
    assert rules == [None] * 7 + ["outside_month"] * 2 + ["unknown_zone"] * 4


def test_fare_passengers_and_missing_distance_do_not_reject(spark, tmp_path):
    noon = datetime(2019, 3, 5, 12)
    rides = [
        ride(noon, fare_amount=-5.0),
        ride(noon, 11, fare_amount=None),
        ride(noon, 12, passenger_count=None),
        ride(noon, 13, passenger_count=0),
        ride(noon, 14, trip_distance=0.0),
        ride(noon, 15, trip_distance=None),
    ]
    rows = checked(spark, tmp_path, "2019-03", rides)
    assert [row["rule"] for row in rows] == [None] * 6
    assert [row["distance_miles"] for row in rows] == [2.0] * 4 + [None] * 2


def test_first_duplicate_with_distance_is_kept(spark, tmp_path):
    noon = datetime(2019, 3, 5, 12)
    same = [
        ride(noon, trip_distance=0.0),
        ride(noon, fare_amount=-10.0),
        ride(noon),
        ride(noon),
        ride(noon, trip_distance=50.0),
    ]
    others = [
        ride(noon, VendorID=2),
        ride(noon, VendorID=None),
        ride(noon, VendorID=None),
        ride(noon, DOLocationID=237),
        ride(noon, 10.5),
    ]
    others_kept = [None, None, "duplicate", None, None]
    rules = [row["rule"] for row in checked(spark, tmp_path, "2019-03", same + others)]
    assert rules == ["duplicate", None, "duplicate", "duplicate", "impossible_speed", *others_kept]


def test_trips_touching_missing_spring_hour_are_rejected(spark, tmp_path):
    rides = {
        "ends before": (ride(SPRING + timedelta(minutes=100), 15), None),
        "spans": (ride(SPRING + timedelta(minutes=110), 75), "clock_change"),
        "begins in it": (ride(SPRING + timedelta(minutes=130), 15), "clock_change"),
        "ends in it": (ride(SPRING + timedelta(minutes=110), 15), "clock_change"),
        "begins after": (ride(SPRING + timedelta(minutes=180), 15), None),
        "meter left on": (ride(SPRING, 1000), "too_long"),
    }
    rows = checked(spark, tmp_path, "2019-03", [row for row, _ in rides.values()])
    assert [row["rule"] for row in rows] == [rule for _, rule in rides.values()]
    assert rows[2]["pickup_at"] == SPRING + timedelta(minutes=130), "times are not shifted"


def test_trips_with_ambiguous_autumn_hour_are_rejected(spark, tmp_path):
    rides = {
        "inside, forwards": (ride(AUTUMN + timedelta(minutes=70), 20), None),
        "inside, backwards": (ride(AUTUMN + timedelta(minutes=110), -40), "clock_change"),
        "spans both passes": (ride(AUTUMN + timedelta(minutes=50), 75), "clock_change"),
        "ends in it": (ride(AUTUMN + timedelta(minutes=50), 20), None),
        "begins in it": (ride(AUTUMN + timedelta(minutes=110), 20), None),
        "backwards elsewhere": (ride(AUTUMN + timedelta(minutes=200), -40), "dropoff_not_after_pickup"),
    }
    rows = checked(spark, tmp_path, "2019-11", [row for row, _ in rides.values()])
    assert [row["rule"] for row in rows] == [rule for _, rule in rides.values()]


def test_derived_columns(spark, tmp_path):
    (row,) = checked(spark, tmp_path, "2019-11", [ride(datetime(2019, 11, 28, 23, 59, 30), 12.5)])
    expected = {
        "fleet": "yellow", "vendor_id": 1, "duration_minutes": 12.5, "pickup_hour": 23, "pickup_weekday": 4,
        "is_holiday": True, "pickup_borough": "Queens", "dropoff_borough": "Manhattan",
        "dropoff_at": datetime(2019, 11, 29, 0, 12), "passenger_count": 1, "airport_fee": None, "rule": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert list(row) == list(REJECTED)


@pytest.mark.parametrize(
    "types",
    [
        {"VendorID": pa.int32(), "PULocationID": pa.int32(), "trip_distance": pa.float32()},
        {"VendorID": pa.float64(), "PULocationID": pa.float64(), "passenger_count": pa.int8()},
        {"VendorID": pa.null(), "passenger_count": pa.null(), "fare_amount": pa.float32()},
        {"tpep_pickup_datetime": pa.timestamp("ns"), "tpep_dropoff_datetime": pa.timestamp("ms")},
    ],
    ids=["int32", "double", "null", "nanoseconds"],
)  # fmt: skip
def test_published_types_read_as_canonical_ones(types, spark, tmp_path):
    noon = datetime(2019, 3, 5, 12)
    empty = {name: None for name, kind in types.items() if kind == pa.null()}
    (row,) = checked(spark, tmp_path, "2019-03", [ride(noon) | empty], TYPES | types)
    assert row["rule"] is None
    assert row["pickup_at"] == noon
    assert row["duration_minutes"] == 10
    assert row["pickup_zone"] == 132
    assert row["distance_miles"] == 2.0
    assert row["vendor_id"] == (None if "VendorID" in empty else 1)
