"""Rebuild the packaged sample, byte for byte, from the source distribution that contains the trips.

    python -m logitrack_assets.sample.build [--sdist great_expectations-1.10.0.tar.gz] [--into FOLDER]

Without `--sdist` the distribution is downloaded with pip from the configured package index.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from logitrack_assets.sample import folder

PACKAGE, VERSION = "great_expectations", "1.10.0"
SDIST_SHA256 = "272fa5bd4ee77cac30b25558de94d0a64f46e96477bceaaeac08793fe38be3ee"
MEMBERS = f"{PACKAGE}-{VERSION}/tests/test_sets/taxi_yellow_tripdata_samples/yellow_tripdata_sample_{{month}}.csv"
SAMPLE_MONTHS = tuple(f"2019-{number:02d}" for number in range(1, 13))

# (name in the CSV, name in the TLC's file, type in the TLC's file)
COLUMNS = (
    ("vendor_id", "VendorID", pa.int64()),
    ("pickup_datetime", "tpep_pickup_datetime", pa.timestamp("us")),
    ("dropoff_datetime", "tpep_dropoff_datetime", pa.timestamp("us")),
    ("passenger_count", "passenger_count", pa.float64()),
    ("trip_distance", "trip_distance", pa.float64()),
    ("rate_code_id", "RatecodeID", pa.float64()),
    ("store_and_fwd_flag", "store_and_fwd_flag", pa.string()),
    ("pickup_location_id", "PULocationID", pa.int64()),
    ("dropoff_location_id", "DOLocationID", pa.int64()),
    ("payment_type", "payment_type", pa.int64()),
    ("fare_amount", "fare_amount", pa.float64()),
    ("extra", "extra", pa.float64()),
    ("mta_tax", "mta_tax", pa.float64()),
    ("tip_amount", "tip_amount", pa.float64()),
    ("tolls_amount", "tolls_amount", pa.float64()),
    ("improvement_surcharge", "improvement_surcharge", pa.float64()),
    ("total_amount", "total_amount", pa.float64()),
    ("congestion_surcharge", "congestion_surcharge", pa.float64()),
)


def download_distribution(into: Path) -> Path:
    """Download the source distribution with pip and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE]
    subprocess.run([*command, "--dest", str(into), f"{PACKAGE}=={VERSION}"], check=True)
    (archive,) = into.glob("*.tar.gz")
    return archive


def verify_distribution(archive: Path) -> None:
    """Require that the archive is the one that the sample was built from.

    Raises:
        SystemExit: Its digest differs.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SDIST_SHA256:
        raise SystemExit(f"{archive} is another distribution: its SHA-256 is {digest}, not {SDIST_SHA256}.")


def read_sample_month(archive: tarfile.TarFile, month: str) -> pa.Table:
    """Return one month of the sample with the TLC's column names and types, ordered by pickup.

    Raises:
        SystemExit: The archive lacks the month.
    """
    member = archive.extractfile(MEMBERS.format(month=month))
    if member is None:
        raise SystemExit(f"{MEMBERS.format(month=month)} is not a file of the distribution.")
    types = {source: kind for source, _, kind in COLUMNS}
    table = pa.csv.read_csv(member, convert_options=pa.csv.ConvertOptions(column_types=types))
    table = table.select(list(types)).rename_columns([name for _, name, _ in COLUMNS])
    # Introduced later; the TLC's republished files of 2019 contain it as a column of type null.
    table = table.append_column("airport_fee", pa.nulls(table.num_rows))
    order = [(name, "ascending") for name in table.column_names if name != "airport_fee"]
    pickup_first = sorted(order, key=lambda key: key[0] != "tpep_pickup_datetime")
    return table.sort_by(pickup_first)


def build_sample(sdist: Path, into: Path) -> list[Path]:
    """Write the twelve files below `into/trip-data` and return their paths."""
    verify_distribution(sdist)
    target = into / "trip-data"
    target.mkdir(parents=True, exist_ok=True)
    written = []
    with tarfile.open(sdist) as archive:
        for month in SAMPLE_MONTHS:
            path = target / f"yellow_tripdata_{month}.parquet"
            pq.write_table(
                read_sample_month(archive, month), path, compression="zstd", compression_level=19, store_schema=False
            )
            written.append(path)
    return written


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m logitrack_assets.sample.build", description=__doc__)
    parser.add_argument("--sdist", type=Path, help="the source distribution, if already downloaded")
    parser.add_argument("--into", type=Path, default=folder(), help="folder to build below")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sdist = arguments.sdist or download_distribution(Path(scratch))
        written = build_sample(sdist, arguments.into)
    for path in written:
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(arguments.into)}")
    print(f"{sum(path.stat().st_size for path in written):,} bytes in {len(written)} files", file=sys.stderr)


if __name__ == "__main__":
    _main()
