"""How fast a month goes from its bronze file to published trips and rejections, beside DuckDB doing the same.

    python -m logitrack_tests.benchmarks.trips_month [--rows 3000000] [--months 1] [--rounds 3] [--master local[2]]

Both engines apply the same rules to the same files and write the same two outputs with the same columns and
compression; the counts by rule must agree. With several months it also prints rows a second and the peak memory of
driver and workers over the range. Then the month is loaded into a PostgreSQL of the benchmark's own.
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
from logitrack_assets.nyc_calendar import holidays_in
from logitrack_assets.settings import get_settings
from logitrack_assets.spark import spark_config
from logitrack_assets.trips.cleaning import SILVER
from logitrack_assets.trips.ingest import ingest_file
from logitrack_assets.trips.month import clean_month, load_manifest, load_sample, load_stats
from logitrack_assets.trips.rules import first_broken_rule, moments_of
from logitrack_assets.trips.schema import read_plan
from logitrack_assets.trips.source import Source, file_name
from logitrack_assets.warehouse import Warehouse
from logitrack_tests.benchmarks import bootstrap
from logitrack_tests.benchmarks.memory import PeakMemory

T = TypeVar("T")
ZONES = Path(__file__).parents[2] / "logitrack_assets" / "reference" / "zones.csv"
DUCKDB_TYPES = {"timestamp_ntz": "timestamp", "string": "varchar"}


def clean_with_duckdb(path: Path, month: str, into: Path, threads: int) -> dict[str, int]:
    """The month's cleaning in DuckDB: two Parquet files in `into`; rows by rule, `valid_rows` for trips."""
    plan = read_plan(pq.read_schema(path), path.name)
    columns = ", ".join(
        f"cast({reading.source or 'null'} as {DUCKDB_TYPES.get(reading.column.type, reading.column.type)})"
        f" as {reading.column.name}"
        for reading in plan.readings
    )
    moments = ", ".join(f"timestamp '{moment}' as {name}" for name, moment in moments_of(month).items())
    days = ", ".join(f"date '{day}'" for day in holidays_in(int(month[:4])))
    ride = "fleet, vendor_id, pickup_at, dropoff_at, pickup_zone, dropoff_zone"
    into.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}; set preserve_insertion_order = false")
    connection.execute(f"create table zones as select zone_id, borough from read_csv('{ZONES}')")
    connection.execute(f"""
        create temp table judged as
        with source as (
            select 'yellow' as fleet, file_row_number as source_row, {columns}
            from read_parquet('{path}', file_row_number = true)
        ), described as (
            select source.* replace (case when distance_miles > 0 then distance_miles end as distance_miles),
                (epoch_us(dropoff_at) - epoch_us(pickup_at)) / 6e7 as duration_minutes,
                hour(pickup_at)::smallint as pickup_hour, isodow(pickup_at)::smallint as pickup_weekday,
                pickup_at::date in ({days}) as is_holiday, a.borough as pickup_borough, b.borough as dropoff_borough
            from source left join zones a on a.zone_id = pickup_zone left join zones b on b.zone_id = dropoff_zone
        ), repeated as (
            select {ride}, arg_min(source_row, (distance_miles is null, source_row)) as kept_row
            from described group by all having count(*) > 1
        )
        select {", ".join(f"described.{name}" for name in SILVER)}, {first_broken_rule()} as rule
        from described cross join (select {moments}) left join repeated using ({ride})
    """)
    for name, where, what in (("silver", "is null", "* exclude (rule)"), ("rejected", "is not null", "*")):
        connection.execute(
            f"copy (select {what} from judged where rule {where}) to '{into / name}.parquet' (compression zstd)"
        )
    counts = connection.execute("select coalesce(rule, 'kept'), count(*) from judged group by 1").fetchall()
    connection.close()
    return dict(counts)


def cpu_seconds() -> float:
    """Processor seconds of this process and its children: what a loaded machine measures more fairly than a clock."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in [me, *me.children(recursive=True)])


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """What the work gives, its seconds by the clock, and its processor seconds."""
    started, used = time.monotonic(), cpu_seconds()
    result = work()
    return result, time.monotonic() - started, cpu_seconds() - used


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m logitrack_tests.benchmarks.trips_month", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows in each month")
    parser.add_argument("--months", type=int, default=1, help="months of 2019, from January on")
    parser.add_argument("--rounds", type=int, default=5, help="times that the first month is cleaned; the last counts")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--memory", default="2g", help="the driver's JVM")
    parser.add_argument("--folder", type=Path, help="where bootstrapped months are kept between runs")
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
    """Runs both engines and prints what they took."""
    builder = SparkSession.builder
    for key, value in spark_config(master=arguments.master, driver_memory=arguments.memory).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    lake, memory = Lake(scratch / "home"), PeakMemory()
    for month in months:
        ingest_file(lake, Source(str(source)), "yellow", month)
    path = lake.bronze("yellow", months[0]) / file_name("yellow", months[0])
    for number in range(1, arguments.rounds + 1):
        known, seconds, used = timed(lambda: clean_month(spark, lake, months[0]))
        theirs, duckdb_seconds, duckdb_used = timed(
            lambda: clean_with_duckdb(path, months[0], scratch / "duckdb", spark.sparkContext.defaultParallelism)
        )
        ours = {"kept": known.silver_rows, **known.counts["yellow"].rejected}
        if ours != theirs:
            raise SystemExit(f"The engines disagree: {ours} and {theirs}")
        print(
            f"round {number}: Spark {seconds:.1f} s ({used:.1f} processor s), DuckDB {duckdb_seconds:.1f} s "
            f"({duckdb_used:.1f}), ratio {seconds / duckdb_seconds:.2f} ({used / duckdb_used:.2f})",
            flush=True,
        )
    rows = known.silver_rows + known.rejected_rows
    print(f"one month: {rows / seconds:,.0f} rows/s, peak memory {memory.peak / 1e9:.2f} GB", flush=True)

    if len(months) > 1:
        _, seconds, used = timed(lambda: [clean_month(spark, lake, month) for month in months])
        total = sum(load_manifest(lake, month).counts["yellow"].bronze for month in months)
        print(
            f"{len(months)} months: {total / seconds:,.0f} rows/s ({total / used:,.0f} a processor s), "
            f"peak memory {memory.peak / 1e9:.2f} GB",
            flush=True,
        )

    url = database_url(get_settings().model_copy(update={"home": scratch / "home", "database_url": None}))
    migrate(url)
    warehouse = Warehouse(url)
    for number in range(1, arguments.rounds + 1):
        _, sample_seconds, _ = timed(lambda: load_sample(spark, lake, warehouse, months[0], 20_000))
        counts, stats_seconds, _ = timed(lambda: load_stats(spark, lake, warehouse, months[0], 20_000))
        print(f"round {number}: sample {sample_seconds:.1f} s, rollups {stats_seconds:.1f} s {counts}", flush=True)
    with warehouse.connect() as connection:
        size = connection.execute(
            "select sum(pg_total_relation_size(oid)) from pg_class where relname like 'trip_stats%' and relkind = 'r'"
        ).fetchone()
        print(f"rollups of the month: {float((size or (0,))[0]) / 1e6:.0f} MB with indexes")
    spark.stop()


if __name__ == "__main__":
    main()
