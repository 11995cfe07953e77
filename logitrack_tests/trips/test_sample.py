"""The packaged sample matches its provenance and the TLC's files."""

import hashlib

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from logitrack_assets.sample import folder
from logitrack_assets.sample.build import SDIST_SHA256
from logitrack_assets.trips.ingest import inspect_file
from logitrack_assets.trips.source import file_name

MONTHS = [f"2019-{number:02d}" for number in range(1, 13)]


def test_sample_files_match_provenance_and_size_limit():
    files = [folder() / "trip-data" / file_name("yellow", month) for month in MONTHS]
    provenance = (folder() / "PROVENANCE.md").read_text()
    assert SDIST_SHA256 in provenance
    for path in files:
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  trip-data/{path.name}" in provenance
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    assert sorted(folder().glob("trip-data/*")) == files


FARES = (
    124_850.31, 126_200.80, 129_581.48, 132_174.35, 132_958.02, 136_620.67, 134_375.31, 135_614.95, 136_812.08,
    138_183.28, 132_407.41, 134_639.94,
)  # fmt: skip
"""Dollars, summed over the rows of each month's published sample."""


def test_sample_has_published_columns_and_fare_sums_of_its_source(tlc_folder):
    published = pq.read_schema(tlc_folder / "trip-data" / file_name("yellow", "2020-01"))
    for month, fares in zip(MONTHS, FARES, strict=True):
        sample = pq.read_table(folder() / "trip-data" / file_name("yellow", month))
        assert sample.schema.names == published.names
        assert sample.schema.types == published.types
        assert pc.sum(sample["fare_amount"]).as_py() == pytest.approx(fares, abs=1e-6)


def test_sample_matches_whole_month_files(whole_months):
    for month in MONTHS:
        name = file_name("yellow", month)
        sample, published = (pq.read_table(base / "trip-data" / name) for base in (folder(), whole_months))
        assert inspect_file(folder() / "trip-data" / name, "yellow", month)["rows"] == 10_000
        assert sample.schema.names == published.schema.names
        assert sample.schema.types == published.schema.types
        assert pc.sum(sample["fare_amount"]).as_py() == pc.sum(published["fare_amount"]).as_py()
