"""Enlarge the packaged sample of real trips to whole months, in files with the TLC's layout.

    python -m logitrack_tests.benchmarks.bootstrap --into FOLDER --months 2019-01 2019-02 --rows 3000000

Each row is a real one, drawn with replacement, moved by whole weeks inside its month and by up to a quarter of an
hour, with its duration scaled by about 10%. This preserves the distribution of hours, weekdays and zones and the share
of invalid rows. A small share of rows is repeated as reversals with negative amounts, which the TLC's files contain.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from logitrack_assets.sample import folder

REVERSED_SHARE = 0.005
ROW_GROUP_ROWS = 1_048_576  # pyarrow's default, as in the TLC's files
WEEK = np.timedelta64(7, "D")
AMOUNTS = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount")


def bootstrap(month: str, rows: int, seed: int = 0) -> pa.Table:
    """Return a month of `rows` rows drawn from the packaged sample of that month of 2019, reproducible by `seed`."""
    source = pq.read_table(folder() / "trip-data" / f"yellow_tripdata_{month}.parquet")
    random = np.random.default_rng([seed, int(month.replace("-", ""))])
    reversals = int(rows * REVERSED_SHARE)
    drawn = random.integers(0, source.num_rows, rows - reversals)
    table = source.take(pa.array(drawn))

    pickup = table["tpep_pickup_datetime"].to_numpy().astype("datetime64[s]")
    length = (table["tpep_dropoff_datetime"].to_numpy().astype("datetime64[s]") - pickup).astype(np.int64)
    start = np.datetime64(month, "M").astype("datetime64[s]")
    end = (np.datetime64(month, "M") + 1).astype("datetime64[s]")
    jittered = pickup + random.integers(-900, 900, len(pickup))
    jittered = np.where((jittered >= start) & (jittered < end), jittered, pickup)
    moved = jittered + random.integers(-4, 5, len(pickup)) * WEEK
    pickup = np.where((moved >= start) & (moved < end), moved, jittered)
    length = np.rint(length * random.normal(1, 0.1, len(length)).clip(0.5, 1.5)).astype(np.int64)
    table = _replace(table, "tpep_pickup_datetime", pickup)
    table = _replace(table, "tpep_dropoff_datetime", pickup + length)

    reversal = table.slice(0, reversals)
    for name in AMOUNTS:
        reversal = _replace(reversal, name, -reversal[name].to_numpy())
    table = pa.concat_tables([table, reversal])
    return table.take(pa.array(np.argsort(table["tpep_pickup_datetime"].to_numpy(), kind="stable")))


def write(folder: Path, month: str, rows: int, seed: int = 0) -> Path:
    """Write a bootstrapped month below `folder` in the TLC's layout and return its path."""
    path = folder / "trip-data" / f"yellow_tripdata_{month}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(bootstrap(month, rows, seed), path, compression="snappy", row_group_size=ROW_GROUP_ROWS)
    return path


def _replace(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    index = table.schema.get_field_index(name)
    column = pa.array(values).cast(table.schema.field(index).type)
    return table.set_column(index, table.schema.field(index), column)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m logitrack_tests.benchmarks.bootstrap", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, help="folder to write below")
    parser.add_argument("--months", nargs="+", default=["2019-01"], help="months of 2019, YYYY-MM")
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows in each month")
    arguments = parser.parse_args()
    for month in arguments.months:
        path = write(arguments.into, month, arguments.rows)
        print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
