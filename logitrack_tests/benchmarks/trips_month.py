"""Measure the cleaning and loading of a month with Spark, and the same cleaning with DuckDB.

    python -m logitrack_tests.benchmarks.trips_month [--rows 3000000] [--months 1] [--rounds 3] [--master local[2]]

Both engines apply the same rules to the same files and write the same two outputs with the same columns and
compression; the counts by rule must agree. With several months it also prints rows per second and the peak memory of
driver and workers over the range. Then the month is loaded into a PostgreSQL server of the benchmark's own.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import duckdb
import psutil
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from logitrack_assets.database import database_url, migrate
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.nyc_calendar import holidays_in
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.file_schema import plan_reading
from logitrack_assets.trips.ingest import ingest_file
from logitrack_assets.trips.manifest import load_manifest
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.rules import first_violated_rule, rule_moments
from logitrack_assets.trips.schema import SILVER, TRIP_KEY
from logitrack_assets.trips.source import Source, file_name
from logitrack_assets.trips.warehouse_load import load_sample, load_stats
from logitrack_assets.warehouse import Warehouse
from logitrack_tests.benchmarks import bootstrap
from logitrack_tests.benchmarks.memory import PeakMemory
from logitrack_tests.benchmarks.spark_session import benchmark_session

T = TypeVar("T")
ZONES = Path(__file__).parents[2] / "logitrack_assets" / "reference" / "zones.csv"
DUCKDB_TYPES = {"timestamp_ntz": "timestamp", "string": "varchar"}


def clean_with_duckdb(path: Path, month: str, into: Path, threads: int) -> dict[str, int]:
    """Clean a month with DuckDB into two Parquet files in `into`; return the rows by rule, `kept` for valid trips."""
    plan = plan_reading(pq.read_schema(path), path.name)
    columns = ", ".join(
        f"cast({reading.source or 'null'} as {DUCKDB_TYPES.get(reading.column.type, reading.column.type)})"
        f" as {reading.column.name}"
        for reading in plan.readings
    )
    moments = ", ".join(f"timestamp '{moment}' as {name}" for name, moment in rule_moments(Month.parse(month)).items())
    days = ", ".join(f"date '{day}'" for day in holidays_in(Month.parse(month).year))
    key = ", ".join(TRIP_KEY)
    into.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}; set preserve_insertion_order = false")
    connection.execute(f"create table zones as select zone_id, borough from read_csv('{ZONES}')")
    connection.execute(f"""
        create temp table checked as
        with source as (
            select 'yellow' as fleet, file_row_number as source_row, {columns}
            from read_parquet('{path}', file_row_number = true)
        ), derived as (
            select source.* replace (case when distance_miles > 0 then distance_miles end as distance_miles),
                (epoch_us(dropoff_at) - epoch_us(pickup_at)) / 6e7 as duration_minutes,
                hour(pickup_at)::smallint as pickup_hour, isodow(pickup_at)::smallint as pickup_weekday,
                pickup_at::date in ({days}) as is_holiday, a.borough as pickup_borough, b.borough as dropoff_borough
            from source left join zones a on a.zone_id = pickup_zone left join zones b on b.zone_id = dropoff_zone
        ), duplicates as (
            select {key}, arg_min(source_row, (distance_miles is null, source_row)) as kept_row
            from derived group by all having count(*) > 1
        )
        select {", ".join(f"derived.{name}" for name in SILVER)}, {first_violated_rule()} as rule
        from derived cross join (select {moments}) left join duplicates using ({key})
    """)
    for name, condition, columns in (("silver", "is null", "* exclude (rule)"), ("rejected", "is not null", "*")):
        connection.execute(
            f"copy (select {columns} from checked where rule {condition}) to '{into / name}.parquet' (compression zstd)"
        )
    counts = connection.execute("select coalesce(rule, 'kept'), count(*) from checked group by 1").fetchall()
    connection.close()
    return dict(counts)


def cpu_seconds() -> float:
    """Return the processor seconds of this process and its children, which other load distorts less than a clock."""
    current = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in [current, *current.children(recursive=True)])


def time_call(function: Callable[[], T]) -> tuple[T, float, float]:
    """Return the function's result, its seconds by the clock, and its processor seconds."""
    started, used = time.monotonic(), cpu_seconds()
    result = function()
    return result, time.monotonic() - started, cpu_seconds() - used


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m logitrack_tests.benchmarks.trips_month", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows per month")
    parser.add_argument("--months", type=int, default=1, help="number of months of 2019, from January")
    parser.add_argument(
        "--rounds", type=int, default=5, help="times that the first month is cleaned; the last one is reported"
    )
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--memory", default="2g", help="memory of the driver's JVM")
    parser.add_argument("--folder", type=Path, help="folder that keeps bootstrapped months between runs")
    arguments = parser.parse_args()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.folder or Path(scratch) / "source"
        months = [f"2019-{number:02d}" for number in range(1, arguments.months + 1)]
        for month in months:
            if not (source / "trip-data" / file_name("yellow", month)).exists():
                bootstrap.write(source, month, arguments.rows)
        measure(Path(scratch), source, months, arguments)


def measure(scratch: Path, source: Path, months: list[str], arguments: argparse.Namespace) -> None:
    """Run all measurements and print their results."""
    spark = benchmark_session(master=arguments.master, driver_memory=arguments.memory)
    lake, memory = Lake(scratch / "home"), PeakMemory()
    for month in months:
        ingest_file(lake, Source(str(source)), "yellow", month)
    compare_engines(spark, lake, months[0], scratch / "duckdb", arguments.rounds)
    print(f"peak memory {memory.peak / 1e9:.2f} GB", flush=True)
    if len(months) > 1:
        measure_range(spark, lake, months)
        print(f"peak memory {memory.peak / 1e9:.2f} GB", flush=True)
    measure_load(spark, lake, months[0], arguments.rounds)
    spark.stop()


def compare_engines(spark: SparkSession, lake: Lake, month: str, duckdb_folder: Path, rounds: int) -> None:
    """Clean a month with both engines and print their times.

    Raises:
        SystemExit: The engines count different rows.
    """
    path = lake.bronze("yellow", month) / file_name("yellow", month)
    threads = spark.sparkContext.defaultParallelism
    for number in range(1, rounds + 1):
        manifest, seconds, used = time_call(lambda: clean_month(spark, lake, month))
        duckdb_counts, duckdb_seconds, duckdb_used = time_call(
            lambda: clean_with_duckdb(path, month, duckdb_folder, threads)
        )
        spark_counts = {"kept": manifest.silver_rows, **manifest.counts["yellow"].rejected}
        if spark_counts != duckdb_counts:
            raise SystemExit(f"The engines disagree: Spark {spark_counts}, DuckDB {duckdb_counts}")
        print(
            f"round {number}: Spark {seconds:.1f} s ({used:.1f} processor s), DuckDB {duckdb_seconds:.1f} s "
            f"({duckdb_used:.1f}), ratio {seconds / duckdb_seconds:.2f} ({used / duckdb_used:.2f})",
            flush=True,
        )
    rows = manifest.silver_rows + manifest.rejected_rows
    print(f"one month: {rows / seconds:,.0f} rows/s", flush=True)


def measure_range(spark: SparkSession, lake: Lake, months: list[str]) -> None:
    """Clean several months one after the other and print the rate."""
    _, seconds, used = time_call(lambda: [clean_month(spark, lake, month) for month in months])
    rows = sum(load_manifest(lake, month).counts["yellow"].bronze for month in months)
    print(f"{len(months)} months: {rows / seconds:,.0f} rows/s, {rows / used:,.0f} rows/processor s", flush=True)


def measure_load(spark: SparkSession, lake: Lake, month: str, rounds: int) -> None:
    """Load a month into an embedded PostgreSQL server and print the times and the size of the rollups."""
    url = database_url(get_settings().model_copy(update={"home": lake.home, "database_url": None}))
    migrate(url)
    warehouse = Warehouse(url)
    for number in range(1, rounds + 1):
        _, sample_seconds, _ = time_call(lambda: load_sample(spark, lake, warehouse, month, 20_000))
        counts, stats_seconds, _ = time_call(lambda: load_stats(spark, lake, warehouse, month, 20_000))
        print(f"round {number}: sample {sample_seconds:.1f} s, rollups {stats_seconds:.1f} s {counts}", flush=True)
    with warehouse.connect() as connection:
        size = connection.execute(
            "select sum(pg_total_relation_size(oid)) from pg_class where relname like 'trip_stats%' and relkind = 'r'"
        ).fetchone()
        print(f"rollups of the month: {float((size or (0,))[0]) / 1e6:.0f} MB with indexes")


if __name__ == "__main__":
    main()
