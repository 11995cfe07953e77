"""The packaged sample: real, small, and the files that its provenance names."""

import hashlib

import pyarrow.compute as pc
import pyarrow.parquet as pq

from logitrack_assets.sample import folder
from logitrack_assets.sample.build import SDIST_SHA256
from logitrack_assets.trips.ingest import check
from logitrack_assets.trips.source import file_name

MONTHS = [f"2019-{number:02d}" for number in range(1, 13)]


def test_the_files_are_those_of_the_provenance_and_small():
    files = [folder() / "trip-data" / file_name("yellow", month) for month in MONTHS]
    provenance = (folder() / "PROVENANCE.md").read_text()
    assert SDIST_SHA256 in provenance
    for path in files:
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  trip-data/{path.name}" in provenance
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    assert sorted(folder().glob("trip-data/*")) == files


def test_the_files_have_the_columns_that_the_tlc_gave_them(tlc_folder):
    for month in MONTHS:
        name = file_name("yellow", month)
        ours, theirs = (pq.read_table(base / "trip-data" / name) for base in (folder(), tlc_folder))
        assert check(folder() / "trip-data" / name, "yellow", month)["rows"] == 10_000
        assert ours.schema.names == theirs.schema.names
        assert ours.schema.types == theirs.schema.types
        assert pc.sum(ours["fare_amount"]).as_py() == pc.sum(theirs["fare_amount"]).as_py()
