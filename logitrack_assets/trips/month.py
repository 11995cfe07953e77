"""Cleaning of one month: from the bronze files to published silver and rejected folders."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.months import Month
from logitrack_assets.trips import cleaning
from logitrack_assets.trips.errors import BrokenFileError, MonthError
from logitrack_assets.trips.file_schema import plan_reading
from logitrack_assets.trips.manifest import MonthManifest, RowCounts
from logitrack_assets.trips.source import file_name
from logitrack_assets.trips.spark_errors import translated_spark_errors


def clean_month(spark: SparkSession, lake: Lake, month: str) -> MonthManifest:
    """Clean all fleets' files of a month, publish silver and rejected as one version and return its manifest.

    The previous version stays published when this fails.

    Raises:
        MonthError: The month has no bronze file, rows were lost, or Spark failed.
        BrokenFileError: A file is unreadable or has no valid trip.
        DiskFullError: No space is left for the new version.
    """
    files = {fleet: lake.bronze(fleet, month) / file_name(fleet, month) for fleet in lake.bronze_fleets(month)}
    if not files:
        raise MonthError(f"{month} has no file in the lake.", hint="Materialise bronze_trips first.")
    receipts = {fleet: lake.receipt(fleet, month) or {} for fleet in files}
    staged = lake.staging(f"month-{month}")
    with lake.lock(staged.name):
        lake.clear_staging(staged.name)
        try:
            with translated_spark_errors(month, [path.name for path in files.values()], lake.root):
                _stage(spark, Month.parse(month), files, staged)
        except Exception:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        manifest = MonthManifest(
            month=month,
            counts=_count_rows(files, staged),
            digests={fleet: receipt["sha256"] for fleet, receipt in receipts.items()},
            urls={fleet: receipt["url"] for fleet, receipt in receipts.items()},
        )
        _require_reconciled(manifest, files)
        for part in ("silver", "rejected"):
            write_json(staged / part / MANIFEST, manifest.to_json())
        places = {"silver": lake.silver(month), "rejected": lake.rejected(month)}
        lake.publish_together(staged, places, manifest.version)
    return manifest


def _stage(spark: SparkSession, month: Month, files: Mapping[str, Path], staged: Path) -> None:
    """Write the valid trips and the rejected rows of a month below `staged`."""
    raw = cleaning.union_all(
        cleaning.read_file(spark, path, plan_reading(pq.read_schema(path), path.name), fleet)
        for fleet, path in files.items()
    )
    trips = cleaning.add_derived_columns(raw, cleaning.month_parameters(spark, month))
    duplicates = cleaning.find_duplicates(trips).persist()  # both outputs use it
    try:
        checked = cleaning.apply_rules(trips, duplicates)
        _write(cleaning.valid_rows(checked), staged / "silver")
        _write(cleaning.rejected_rows(checked), staged / "rejected")
    finally:
        duplicates.unpersist()


def _write(rows: DataFrame, folder: Path) -> None:
    rows.write.parquet(str(folder), compression="zstd")
    for path in folder.iterdir():
        if not path.name.endswith(".parquet") or path.name.startswith("."):
            path.unlink()  # Hadoop's checksums and success marker; publication is by rename


def _count_rows(files: Mapping[str, Path], staged: Path) -> dict[str, RowCounts]:
    """Return the rows of each fleet by the files that were read and written."""
    silver, rejected = _silver_rows(staged / "silver"), _rejections(staged / "rejected")
    return {
        fleet: RowCounts(
            bronze=pq.read_metadata(path).num_rows,
            silver=silver[fleet],
            rejected=dict(sorted(rejected[fleet].items())),
        )
        for fleet, path in files.items()
    }


def _require_reconciled(manifest: MonthManifest, files: Mapping[str, Path]) -> None:
    """Require that each row is counted once and that each fleet has valid trips.

    Raises:
        MonthError: Rows were lost or multiplied.
        BrokenFileError: A file has no valid trip.
    """
    for fleet, count in manifest.counts.items():
        name = files[fleet].name
        if count.bronze != count.silver + count.rejected_rows:
            raise MonthError(
                f"{manifest.month} is not published: {name} has {count.bronze:,} rows, but {count.silver:,} valid "
                f"trips and {count.rejected_rows:,} rejected rows were written."
            )
        if count.silver == 0:
            rejections = ", ".join(f"{rows:,} {rule}" for rule, rows in count.rejected.items())
            raise BrokenFileError(f"{name} has no valid trip of {manifest.month}: {rejections}.")


def _silver_rows(folder: Path) -> Counter[str]:
    """Return the rows of each fleet, from the footers for row groups that hold one fleet."""
    rows: Counter[str] = Counter()
    for path in folder.glob("*.parquet"):
        footer = pq.read_metadata(path)
        column = footer.schema.names.index("fleet")
        for group in range(footer.num_row_groups):
            statistics = footer.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max and statistics.min == statistics.max:
                rows[statistics.min] += footer.row_group(group).num_rows
            else:
                fleets = pq.ParquetFile(path).read_row_group(group, columns=["fleet"])["fleet"]
                rows.update({entry["values"]: entry["counts"] for entry in fleets.value_counts().to_pylist()})
    return rows


def _rejections(folder: Path) -> dict[str, Counter[str]]:
    """Return the rows by fleet and rule; one row group at a time is in memory."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for path in folder.glob("*.parquet"):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["fleet", "rule"])
            for entry in table.group_by(["fleet", "rule"]).aggregate([([], "count_all")]).to_pylist():
                rows[entry["fleet"]][entry["rule"]] += entry["count_all"]
    return rows
