"""The extracts match their provenance, keep the published types and contain every kind of invalid row."""

import hashlib
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from logitrack_assets.trips.ingest import inspect_file
from logitrack_assets.trips.source import file_name
from logitrack_tests.data import extracts_folder
from logitrack_tests.data.build import SELECTIONS, build

MONTHS = [(selection.fleet, month) for selection in SELECTIONS for month in selection.months]

# Columns whose type the TLC changed from month to month.
TYPES = {
    ("green", "2020-03"): ("int64", "string", "double", "int64", "double", "null", "double"),
    ("green", "2020-04"): ("int64", "string", "double", "int64", "double", "null", "double"),
    ("green", "2023-01"): ("int64", "string", "double", "int64", "double", "null", "double"),
    ("green", "2023-02"): ("int32", "large_string", "int64", "int32", "int64", "double", "int64"),
    ("green", "2024-01"): ("int32", "string", "double", "int32", "double", "double", "double"),
    ("green", "2024-02"): ("int32", "large_string", "int64", "int32", "int64", "double", "int64"),
    ("yellow", "2018-01"): ("int64", "string", "double", "int64", "double", "null", "int64"),
    ("yellow", "2020-01"): ("int64", "string", "double", "int64", "double", "null", "int64"),
}


def extract(fleet: str, month: str) -> Path:
    return extracts_folder() / "trip-data" / file_name(fleet, month)


def test_extracts_match_provenance_and_size_limit():
    files = sorted((extracts_folder() / "trip-data").iterdir())
    assert files == sorted(extract(*key) for key in MONTHS)
    _, _, listed = (extracts_folder() / "PROVENANCE.md").read_text().partition("## Extracts")
    assert all(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in listed for path in files)
    assert sum(path.stat().st_size for path in files) <= 3_000_000


@pytest.mark.parametrize(("fleet", "month"), MONTHS)
def test_ingestion_accepts_extract_and_counts_its_rows(fleet, month):
    _, _, listed = (extracts_folder() / "PROVENANCE.md").read_text().partition("## Extracts")
    path = extract(fleet, month)
    assert f"{path.name}  {inspect_file(path, fleet, month)['rows']:>7,} rows" in listed


@pytest.mark.parametrize(("fleet", "month"), TYPES)
def test_extract_has_published_types(fleet, month):
    fee = {"green": "ehail_fee", "yellow": "airport_fee"}[fleet]
    names = ("VendorID", "store_and_fwd_flag", "RatecodeID", "PULocationID", "passenger_count", fee, "payment_type")
    schema = pq.read_schema(extract(fleet, month))
    assert tuple(str(schema.field(name).type) for name in names) == TYPES[fleet, month]


def test_extract_contains_each_kind_of_invalid_row():
    query = f"""
        with trips as (
            select VendorID, lpep_pickup_datetime as pickup_at, lpep_dropoff_datetime as dropoff_at, PULocationID,
                DOLocationID, trip_distance, fare_amount, passenger_count,
                epoch(lpep_dropoff_datetime - lpep_pickup_datetime) / 60 as duration
            from '{extract("green", "2023-01")}'
        )
        select count(*) filter (strftime(pickup_at, '%Y-%m') <> '2023-01'),
            count(*) filter (fare_amount < 0),
            count(*) filter (fare_amount < 0 and exists (
                select 1 from trips as paid where paid.fare_amount = -trips.fare_amount
                and (paid.VendorID, paid.pickup_at, paid.dropoff_at, paid.PULocationID, paid.DOLocationID)
                  = (trips.VendorID, trips.pickup_at, trips.dropoff_at, trips.PULocationID, trips.DOLocationID))),
            count(*) filter (trip_distance = 0),
            count(*) filter (greatest(PULocationID, DOLocationID) >= 264),
            count(*) - count(distinct (VendorID, pickup_at, dropoff_at, PULocationID, DOLocationID)),
            count(*) filter (duration <= 0),
            count(*) filter (duration > 180),
            count(*) filter (passenger_count is null)
        from trips
    """
    assert duckdb.connect().execute(query).fetchall() == [(4, 22, 22, 179, 60, 22, 15, 29, 211)]


def test_extract_contains_trips_across_clock_change():
    query = f"""
        select count(*) from '{extract("green", "2023-03")}'
        where lpep_pickup_datetime < timestamp '2023-03-12 03:00'
            and lpep_dropoff_datetime >= timestamp '2023-03-12 02:00'
            and lpep_dropoff_datetime - lpep_pickup_datetime < interval '4 hours'
    """
    assert duckdb.connect().execute(query).fetchall() == [(14,)]


def test_extracts_are_reproduced_byte_for_byte(whole_months, tmp_path):
    for source, built in build(whole_months, tmp_path):
        assert built.read_bytes() == (extracts_folder() / "trip-data" / built.name).read_bytes()
        published, kept = pq.read_schema(source), pq.read_schema(built)
        assert kept.equals(published, check_metadata=True), built.name


def test_source_files_match_provenance(whole_months):
    provenance = (extracts_folder() / "PROVENANCE.md").read_text()
    for fleet, month in MONTHS:
        path = whole_months / "trip-data" / file_name(fleet, month)
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in provenance
