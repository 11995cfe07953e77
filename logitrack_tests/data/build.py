"""Rebuild the extracts of real trip files, byte for byte, from a folder laid out as the TLC's.

    python -m logitrack_tests.data.build --from FOLDER [--into FOLDER]

An extract keeps the published columns, types, metadata and row order, and only some of the rows: rows spread evenly
over the file, the first rows of every kind that cleaning must handle, and every row of the rides so chosen.
PROVENANCE.md lists the source files and their digests.
"""

import argparse
import hashlib
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_tests.data import extracts_folder

ODD_ROWS_PER_KIND = 15
"""Rows of each unusual kind that are kept beside the evenly spread ones."""

LAST_CITY_ZONE = 263
"""Zones 264 (unknown) and 265 (outside the city) follow."""

CLOCKS_FORWARD_AT = {
    "2018-03": datetime(2018, 3, 11, 2),
    "2020-03": datetime(2020, 3, 8, 2),
    "2023-03": datetime(2023, 3, 12, 2),
}
"""Start of the hour that is missing from the wall clock, for the months that have one."""


@dataclass(frozen=True)
class Selection:
    """Months of one fleet and about how many evenly spread rows are taken of each."""

    fleet: str
    months: tuple[str, ...]
    rows: int


SELECTIONS = (
    Selection(
        "green",
        ("2020-03", "2020-04", "2023-01", "2023-02", "2023-03", "2023-04", "2023-05", "2023-06", "2023-08", "2023-12",
         "2024-01", "2024-02"),
        3_000,
    ),
    Selection("yellow", tuple(f"2018-{number:02d}" for number in range(1, 13)), 1_000),
    # All rows of the source: with fewer, the volume would fall between the packaged sample of 2019 and 2020.
    Selection("yellow", tuple(f"2020-{number:02d}" for number in range(1, 7)), 10_000),
)  # fmt: skip


def odd_kinds(trips: pd.DataFrame, month: str) -> dict[str, NDArray[np.bool_]]:
    """Return a mask over the rows for every kind of row that cleaning must handle.

    Args:
        trips: columns `vendor`, `pickup_at`, `dropoff_at`, `pickup_zone`, `dropoff_zone`, `miles`, `fare`.
        month: the file's month, `YYYY-MM`.
    """
    ride = ["vendor", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone"]
    minutes = (trips.dropoff_at - trips.pickup_at).dt.total_seconds() / 60
    kinds = {
        "outside the month": trips.pickup_at.dt.strftime("%Y-%m") != month,
        "negative fare": trips.fare < 0,
        "zero distance": trips.miles == 0,
        "unknown zone": (trips.pickup_zone > LAST_CITY_ZONE) | (trips.dropoff_zone > LAST_CITY_ZONE),
        "repeated ride": trips.duplicated(ride, keep=False),
        "dropoff not after pickup": minutes <= 0,
        "under a minute": (minutes > 0) & (minutes < 1),
        "over three hours": minutes > 180,
        "over 80 miles an hour": (minutes > 0) & (trips.miles > minutes * 80 / 60),
        "no passenger count": trips.passengers.isna(),
    }
    if forward := CLOCKS_FORWARD_AT.get(month):
        missing_hour_end = forward.replace(hour=forward.hour + 1)
        kinds["clock change"] = (trips.pickup_at < missing_hour_end) & (trips.dropoff_at >= forward) & (minutes < 240)
    return {name: mask.to_numpy(dtype=bool) for name, mask in kinds.items()}


def choose_rows(table: pa.Table, fleet: str, month: str, rows: int) -> NDArray[np.int64]:
    """Return the indices, ascending, of the rows that an extract keeps."""
    prefix = {"green": "lpep", "yellow": "tpep"}[fleet]
    names = {
        "vendor": "VendorID",
        "pickup_at": f"{prefix}_pickup_datetime",
        "dropoff_at": f"{prefix}_dropoff_datetime",
        "pickup_zone": "PULocationID",
        "dropoff_zone": "DOLocationID",
        "miles": "trip_distance",
        "fare": "fare_amount",
        "passengers": "passenger_count",
    }
    trips = pd.DataFrame({ours: table[theirs].to_pandas() for ours, theirs in names.items()})
    chosen = np.arange(len(trips)) % max(len(trips) // rows, 1) == 0
    for mask in odd_kinds(trips, month).values():
        chosen[np.flatnonzero(mask)[:ODD_ROWS_PER_KIND]] = True
    # A reversal or a record sent twice is of use only beside the row that it repeats.
    ride = trips.groupby(list(names)[:5], dropna=False, sort=False).ngroup().to_numpy()
    return np.flatnonzero(np.isin(ride, ride[chosen]))


def build(source: Path, into: Path) -> list[tuple[Path, Path]]:
    """Write the extracts below `into/trip-data`; return pairs of source file and extract."""
    (into / "trip-data").mkdir(parents=True, exist_ok=True)
    written = []
    for selection in SELECTIONS:
        for month in selection.months:
            name = f"trip-data/{selection.fleet}_tripdata_{month}.parquet"
            table = pq.ParquetFile(source / name).read()
            extract = table.take(choose_rows(table, selection.fleet, month, selection.rows))
            pq.write_table(extract, into / name, compression="zstd", compression_level=19)
            written.append((source / name, into / name))
    return written


def main() -> None:
    """Build the extracts and print, for PROVENANCE.md, rows and SHA-256 of every source file and extract."""
    parser = argparse.ArgumentParser(prog="python -m logitrack_tests.data.build")
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder that holds trip-data/")
    parser.add_argument("--into", type=Path, default=extracts_folder(), help="folder to build below")
    arguments = parser.parse_args()
    written = build(arguments.source, arguments.into)
    for kind, files in zip(("source files", "extracts"), zip(*written, strict=True), strict=True):
        print(f"{kind}:")
        for path in files:
            rows = pq.read_metadata(path).num_rows
            print(f"    {hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {rows:>7,} rows")
    total = sum(extract.stat().st_size for _, extract in written)
    print(f"{total:,} bytes in {len(written)} files", file=sys.stderr)


if __name__ == "__main__":
    main()
