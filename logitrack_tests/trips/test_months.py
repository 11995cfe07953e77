"""Real months through Dagster: ranges, broken months, republished files and the warehouse."""

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, materialize
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from logitrack_assets.definitions import resources_from_settings
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.partitions import month_range
from logitrack_assets.settings import get_settings
from logitrack_assets.trips import checks, quality, rollups
from logitrack_assets.trips.assets import SPECS, assets
from logitrack_assets.trips.errors import DiskFullError
from logitrack_assets.trips.ingest import ingest_file
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.rules import REASONS, first_violated_rule, rule_moments
from logitrack_assets.trips.schema import TRIP_KEY
from logitrack_assets.trips.source import Source, file_name

GREEN_MONTHS = ("2023-01", "2023-02", "2023-03")


@pytest.fixture
def workspace(spark, database_url, tmp_path, monkeypatch):
    """Return a home and a source of the test's own; `run` materialises months of green trips."""

    class Workspace:
        home, source = tmp_path / "home", tmp_path / "source"
        lake = Lake(tmp_path / "home")
        instance = DagsterInstance.ephemeral()

        def publish(self, file: Path, name: str) -> None:
            (self.source / "trip-data").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, self.source / "trip-data" / name)

        def run(self, first: str, last: str | None = None, *names: str) -> ExecuteInProcessResult:
            return materialize(
                [*assets, *checks.checks],
                selection=list(names) or None,
                instance=self.instance,
                resources=resources_from_settings(get_settings()),
                tags={
                    "dagster/asset_partition_range_start": first,
                    "dagster/asset_partition_range_end": last or first,
                },
                raise_on_error=False,
            )

        def materialized(self, name: str) -> set[str]:
            return self.instance.get_materialized_partitions(AssetKey(name))

        def version(self, name: str, month: str) -> str:
            event = self.instance.get_latest_data_version_record(AssetKey(name), partition_key=month)
            assert event is not None
            assert event.asset_materialization is not None
            return (event.asset_materialization.tags or {})[DATA_VERSION_TAG]

        def query(self, sql: str) -> list[tuple]:
            with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
                return connection.execute(sql).fetchall()

    for name, value in {
        "HOME": tmp_path / "home", "TLC_URL": tmp_path / "source", "FLEETS": "green", "DATABASE_URL": database_url,
        "SAMPLE_ROWS_PER_MONTH": 500,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LOGITRACK_{name}", str(value))
    get_settings.cache_clear()
    yield Workspace()
    get_settings.cache_clear()


def failure(result: ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def counted_by_duckdb(path: Path, month: str) -> dict[str | None, int]:
    """Return the rows by rule of a published green file, counted by another engine."""
    moments = ", ".join(f"timestamp '{moment}' as {name}" for name, moment in rule_moments(Month.parse(month)).items())
    return dict(
        duckdb.connect()
        .execute(f"""
        with trips as (
            select VendorID as vendor_id, lpep_pickup_datetime as pickup_at, lpep_dropoff_datetime as dropoff_at,
                PULocationID as pickup_zone, DOLocationID as dropoff_zone, file_row_number as source_row,
                case when trip_distance > 0 then trip_distance end as distance_miles,
                (epoch_us(lpep_dropoff_datetime) - epoch_us(lpep_pickup_datetime)) / 6e7 as duration_minutes
            from read_parquet('{path}', file_row_number = true)
        ), checked as (
            select *, {first_violated_rule().replace("source_row <> kept_row", "false")} as rule
            from trips cross join (select {moments})
        ), numbered as (
            select rule, row_number() over (
                partition by rule, {", ".join(TRIP_KEY[1:])}
                order by distance_miles is null, source_row
            ) as place from checked
        )
        select case when rule is null and place > 1 then 'duplicate' else rule end as first_rule, count(*)
        from numbered group by first_rule
        """)
        .fetchall()
    )


def test_range_with_broken_and_missing_months_keeps_good_ones(workspace, tlc_folder):
    for month in GREEN_MONTHS:
        workspace.publish(tlc_folder / "trip-data" / file_name("green", month), file_name("green", month))
    broken = workspace.source / "trip-data" / file_name("green", "2023-02")
    broken.write_bytes(broken.read_bytes()[:-1000])

    result = workspace.run("2023-01", "2023-04")
    assert not result.success
    message = failure(result)
    assert "[2023-02] green_tripdata_2023-02.parquet is truncated" in message
    assert " 2023-04 is not published (yet)" in message
    assert "2 other months" in message
    for spec in SPECS:
        assert workspace.materialized(spec.key.to_user_string()) == {"2023-01", "2023-03"}
    assert workspace.lake.silver_months() == ["2023-01", "2023-03"]
    assert {month for (month,) in workspace.query("select distinct month from warehouse.trip_stats_pair")} == {
        "2023-01",
        "2023-03",
    }

    # Every row is counted once, and another engine counts the same.
    for month in ("2023-01", "2023-03"):
        expected = counted_by_duckdb(tlc_folder / "trip-data" / file_name("green", month), month)
        (manifest,) = [workspace.lake.manifest(month)]
        assert manifest is not None
        counts = manifest["rows"]["green"]
        assert counts["silver"] == expected.pop(None)
        assert counts["rejected"] == expected
        stored = workspace.query(f"select rule, trips, reason from warehouse.rejections where month = '{month}'")
        assert {rule: trips for rule, trips, _ in stored if trips} == expected
        assert {rule: reason for rule, _, reason in stored} == REASONS

    # The overview lists the clean months and marks the missing one between them.
    newest = workspace.instance.get_latest_materialization_event(AssetKey("silver_trips"))
    overview = newest.asset_materialization.metadata["months_side_by_side"].records
    assert [(row.data["month"], row.data["state"]) for row in overview] == [
        ("2023-01", "clean"), ("2023-02", "MISSING"), ("2023-03", "clean"),
    ]  # fmt: skip
    newest = workspace.instance.get_latest_materialization_event(AssetKey("rejected_trips"))
    assert newest.asset_materialization.metadata["rejections_over_months"].value.startswith("![rejections")

    # A corrected file is materialised alone.
    workspace.publish(tlc_folder / "trip-data" / file_name("green", "2023-02"), broken.name)
    assert workspace.run("2023-02").success
    assert workspace.materialized("trip_stats") == set(GREEN_MONTHS)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_available_green_months_in_one_range(workspace, published):
    available = sorted(
        path.stem[-7:] for path in (published / "trip-data").glob("green_*.parquet") if path.stem[-7:] >= "2023"
    )
    assert len(available) >= 10
    for month in available:
        workspace.publish(published / "trip-data" / file_name("green", month), file_name("green", month))
    result = workspace.run(available[0], available[-1])
    absent = [month for month in month_range(available[0], available[-1]) if month not in available]
    message = failure(result)
    assert all(f"{month} is not published (yet)" in message for month in absent)
    assert f"{len(available)} other months are published" in message
    for month in available:
        expected = counted_by_duckdb(published / "trip-data" / file_name("green", month), month)
        counts = workspace.lake.manifest(month)["rows"]["green"]
        assert (counts["silver"], counts["rejected"]) == (expected.pop(None), expected)
    loaded = workspace.query("select month, sum(trips) from warehouse.trip_stats_hour group by month order by month")
    assert dict(loaded) == {month: workspace.lake.manifest(month)["rows"]["green"]["silver"] for month in available}


@pytest.mark.parametrize(
    ("published", "remaining_rows"), [("tlc_folder", 2_000), ("whole_months", 40_000)], indirect=["published"]
)
def test_republished_month_changes_only_its_own_data_version(workspace, published, remaining_rows):
    files = published / "trip-data"
    for month in ("2023-01", "2023-02"):
        workspace.publish(files / file_name("green", month), file_name("green", month))
    assert workspace.run("2023-01", "2023-02").success
    before = {month: workspace.version("bronze_trips", month) for month in ("2023-01", "2023-02")}
    assert before["2023-01"] != before["2023-02"]
    rows = {month: workspace.query(f"select * from warehouse.analytics_sample where month = '{month}' order by trip_id")
            for month in before}  # fmt: skip
    assert len(rows["2023-01"]) == 500

    whole = pq.read_table(workspace.source / "trip-data" / file_name("green", "2023-02"))
    pq.write_table(whole.slice(0, remaining_rows), workspace.source / "trip-data" / file_name("green", "2023-02"))
    assert workspace.run("2023-01", "2023-02").success
    assert workspace.version("bronze_trips", "2023-01") == before["2023-01"]
    assert workspace.version("bronze_trips", "2023-02") != before["2023-02"]
    assert (
        workspace.query("select * from warehouse.analytics_sample where month = '2023-01' order by trip_id")
        == rows["2023-01"]
    ), "the sample is reproducible"
    assert workspace.query("select rows_bronze from warehouse.trip_months where month = '2023-02'") == [
        (remaining_rows,)
    ]


@pytest.mark.parametrize(
    ("published", "green_rows"), [("tlc_folder", 3_399), ("whole_months", 35_644)], indirect=["published"]
)
def test_two_fleets_share_a_month_and_missing_file_is_reported(workspace, published, green_rows, monkeypatch):
    monkeypatch.setenv("LOGITRACK_FLEETS", "yellow,green")
    get_settings.cache_clear()
    for fleet in ("yellow", "green"):
        workspace.publish(published / "trip-data" / file_name(fleet, "2020-04"), file_name(fleet, "2020-04"))
    workspace.publish(published / "trip-data" / file_name("yellow", "2020-05"), file_name("yellow", "2020-05"))
    result = workspace.run("2020-04", "2020-05")
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.blocking)
    rows = workspace.query("select month, fleet, rows_bronze from warehouse.trip_months order by 1, 2")
    assert rows == [("2020-04", "green", green_rows), ("2020-04", "yellow", 10_000), ("2020-05", "yellow", 10_000)]
    silver = (
        duckdb.connect()
        .execute(f"select fleet, count(*) from '{workspace.lake.silver('2020-04')}/*.parquet' group by 1")
        .fetchall()
    )
    assert dict(silver) == dict(
        workspace.query("select fleet, rows_silver from warehouse.trip_months where month='2020-04'")
    )
    event = workspace.instance.get_latest_data_version_record(AssetKey("bronze_trips"), partition_key="2020-05")
    outcomes = {
        record.data["fleet"]: record.data["outcome"] for record in event.asset_materialization.metadata["files"].records
    }
    assert outcomes == {"yellow": "new", "green": "not published"}

    silver_files = workspace.lake.silver("2020-04") / "*.parquet"
    # The rollups count every trip, and their quantiles are within 1% of the exact ones.
    exact = (
        duckdb.connect()
        .execute(
            f"select count(*), sum(duration_minutes), quantile_disc(duration_minutes, 0.5), "
            f"quantile_disc(duration_minutes, 0.9) from '{silver_files}' where fleet = 'green'"
        )
        .fetchall()[0]
    )
    for table in ("hour", "zone_hour", "pair", "payment"):
        groups = workspace.query(
            f"select trips, duration_sum, bins, counts from warehouse.trip_stats_{table} "
            "where month = '2020-04' and fleet = 'green'"
        )
        assert sum(group[0] for group in groups) == exact[0]
        assert sum(group[1] for group in groups) == pytest.approx(exact[1])
        bins, counts = (np.concatenate([group[place] for group in groups]) for place in (2, 3))
        for share, value in ((0.5, exact[2]), (0.9, exact[3])):
            assert rollups.quantile(bins, counts, share) == pytest.approx(value, rel=0.0101)
    both_ends = workspace.query(
        "select direction, sum(trips)::int from warehouse.trip_stats_zone "
        "where month = '2020-04' and fleet = 'green' group by 1"
    )
    assert dict(both_ends) == {"pickup": exact[0], "dropoff": exact[0]}


def test_month_without_valid_trip_keeps_previous_version(workspace, tlc_folder):
    name = file_name("green", "2023-01")
    workspace.publish(tlc_folder / "trip-data" / name, name)
    assert workspace.run("2023-01", None, "bronze_trips", "silver_trips", "rejected_trips").success
    before = workspace.lake.manifest("2023-01")
    rows = pq.read_table(workspace.source / "trip-data" / name)
    nowhere = pa.array(np.full(rows.num_rows, 264), rows.schema.field("PULocationID").type)
    pq.write_table(rows.set_column(rows.schema.get_field_index("PULocationID"), "PULocationID", nowhere),
                   workspace.source / "trip-data" / name)  # fmt: skip
    result = workspace.run("2023-01", None, "bronze_trips", "silver_trips", "rejected_trips")
    assert f"{name} has no valid trip of 2023-01" in failure(result)
    assert workspace.lake.manifest("2023-01") == before


@pytest.mark.parametrize(
    ("published", "counts"),
    [
        ("tlc_folder", "3,225 rows were published, but 3,033 are valid trips"),
        ("whole_months", "68,211 rows were published, but 65,795 are valid trips"),
    ],
    indirect=["published"],
)
def test_checks_find_corrupted_month(workspace, published, counts):
    name = file_name("green", "2023-01")
    workspace.publish(published / "trip-data" / name, name)
    assert workspace.run("2023-01", None, "bronze_trips", "silver_trips", "rejected_trips").success
    lake = workspace.lake
    blocking = (
        quality.row_count_reconciles,
        quality.schema_matches,
        quality.required_columns_not_null,
        quality.pickups_within_month,
    )
    assert [list(find(lake, "2023-01")) for find in blocking] == [[]] * 4
    part = next(lake.silver("2023-01").glob("*.parquet"))
    trips = pq.read_table(part, partitioning=None)
    place = trips.schema.get_field_index("pickup_at")
    late = pa.array([None, *trips["pickup_at"].to_pylist()[1:-1], datetime(2023, 2, 1)], pa.timestamp("us"))
    corrupted = trips.set_column(place, "pickup_at", late)
    pq.write_table(
        pa.concat_tables([corrupted, corrupted.slice(1, 1)]).append_column("x", pa.nulls(len(trips) + 1)), part
    )
    found = [" ".join(find(lake, "2023-01")) for find in blocking]
    assert counts in found[0]
    assert "differs in x" in found[1]
    assert "pickup_at in 1 rows" in found[2]
    assert "1 trips in" in found[3]


@pytest.fixture
def small_disk(tmp_path):
    """Return a mounted disk of 8 MB; skip where mounting is not permitted."""
    place = tmp_path / "small"
    place.mkdir()
    make = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(make).returncode:
        pytest.skip("mounting a small disk is not permitted")
    yield place
    subprocess.run(["umount", "-l", place], check=True)  # lazily: the JVM may still hold a file open


def test_full_disk_during_spark_write_keeps_previous_version(small_disk, spark, tlc_folder):
    source, lake = Source(str(tlc_folder)), Lake(small_disk)
    ingest_file(lake, source, "green", "2023-01")
    clean_month(spark, lake, "2023-01")
    before = lake.manifest("2023-01")
    left = shutil.disk_usage(small_disk).free
    (small_disk / "other data").write_bytes(b"x" * (left - 50_000))
    with pytest.raises(DiskFullError, match=r"2023-01 was not made: no space left below .*small/lake\. Free some"):
        clean_month(spark, lake, "2023-01")
    assert lake.manifest("2023-01") == before
    (small_disk / "other data").unlink()
    assert clean_month(spark, lake, "2023-01").silver_rows == before["rows"]["green"]["silver"]
