"""The work on one month, without Dagster: clean it into the lake, load it into the warehouse.

What a month came to is written beside its trips (`_month.json`): rows in and out by fleet, rejections by rule, and
the digests of the files that it was made from.
"""

import hashlib
import shutil
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.trips import cleaning, rollups
from logitrack_assets.trips.ingest import DiskFullError
from logitrack_assets.trips.rules import REASONS, RULES_VERSION
from logitrack_assets.trips.schema import BrokenFileError, read_plan
from logitrack_assets.trips.source import file_name
from logitrack_assets.warehouse import Warehouse


class MonthError(LogitrackError):
    """A month that could not be made; the message names it and the reason, and the version before is still there."""


class SparkConnectionLostError(MonthError):
    """Spark's JVM ended: nothing more can be done in this process."""


@dataclass(frozen=True)
class RowCounts:
    """Rows of one fleet in one month. `rejected` maps a rule to its rows."""

    bronze: int
    silver: int
    rejected: dict[str, int]

    @property
    def rejected_rows(self) -> int:
        return sum(self.rejected.values())


@dataclass(frozen=True)
class MonthManifest:
    """What is known of a cleaned month."""

    month: str
    counts: dict[str, RowCounts]
    digests: dict[str, str]
    urls: dict[str, str]
    published_at: datetime

    @property
    def silver_rows(self) -> int:
        return sum(count.silver for count in self.counts.values())

    @property
    def rejected_rows(self) -> int:
        return sum(count.rejected_rows for count in self.counts.values())


def clean_month(spark: SparkSession, lake: Lake, month: str) -> MonthManifest:
    """Cleans all fleets' files of a month and publishes silver and rejected together.

    Raises MonthError or BrokenFileError when that is impossible, and when a fleet is left without any trip; the
    version before stays.
    """
    fleets = lake.bronze_fleets(month)
    if not fleets:
        raise MonthError(f"{month} has no file in the lake: materialise bronze_trips first.")
    receipts = {fleet: lake.receipt(fleet, month) or {} for fleet in fleets}
    files = {fleet: lake.bronze(fleet, month) / file_name(fleet, month) for fleet in fleets}
    staged = lake.staging(f"month-{month}")
    with lake.lock(staged.name):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            raw = cleaning.union(
                cleaning.read(spark, path, read_plan(pq.read_schema(path), path.name), fleet)
                for fleet, path in files.items()
            )
            trips = cleaning.describe(raw, cleaning.month_facts(spark, month))
            repeated = cleaning.find_duplicates(trips).persist()  # both outputs need it
            try:
                checked = cleaning.apply_rules(trips, repeated)
                _write(cleaning.valid_rows(checked), staged / "silver")
                _write(cleaning.rejected(checked), staged / "rejected")
            finally:
                repeated.unpersist()
        except (PySparkException, Py4JError, ConnectionError) as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise _spark_failure(error, month, [path.name for path in files.values()], lake) from error
        came_out, rejections = _rows_by_fleet(staged / "silver"), _rejections(staged / "rejected")
        counts = {
            fleet: RowCounts(
                bronze=pq.read_metadata(path).num_rows,
                silver=came_out[fleet],
                rejected=dict(sorted(rejections[fleet].items())),
            )
            for fleet, path in files.items()
        }
        _require_reconciled(month, counts, files)
        known = MonthManifest(
            month=month,
            counts=counts,
            digests={fleet: receipt["sha256"] for fleet, receipt in receipts.items()},
            urls={fleet: receipt["url"] for fleet, receipt in receipts.items()},
            published_at=datetime.now(UTC),
        )
        manifest = _manifest(known)
        for part in ("silver", "rejected"):
            write_json(staged / part / MANIFEST, manifest)
        places = {"silver": lake.silver(month), "rejected": lake.rejected(month)}
        lake.publish_together(staged, places, manifest["version"])
    return known


def load_manifest(lake: Lake, month: str) -> MonthManifest:
    """What was written beside a month's trips. Raises MonthError when the month was never cleaned."""
    manifest = lake.manifest(month)
    if manifest is None:
        raise MonthError(f"{month} has no clean trips: materialise silver_trips first.")
    return MonthManifest(
        month=month,
        counts={
            fleet: RowCounts(entry["bronze"], entry["silver"], entry["rejected"])
            for fleet, entry in manifest["rows"].items()
        },
        digests=manifest["bronze_sha256"],
        urls=manifest["source_urls"],
        published_at=datetime.fromisoformat(manifest["published_at"]),
    )


def load_sample(spark: SparkSession, lake: Lake, warehouse: Warehouse, month: str, rows: int) -> pa.Table:
    """Replaces the month in `analytics_sample`, `rows` trips of each fleet at most; returns the new rows."""
    known = load_manifest(lake, month)
    trips = spark.read.parquet(str(lake.silver(month)))
    samples = [rollups.sample(trips, month, fleet, rows).toArrow() for fleet in known.counts]
    table = pa.concat_tables(samples)
    warehouse.replace_month(month, {"analytics_sample": table, **month_summary_tables(known, rows)})
    return table


def load_stats(spark: SparkSession, lake: Lake, warehouse: Warehouse, month: str, sample_rows: int) -> dict[str, int]:
    """Replaces the month in the rollup tables; returns the rows of each."""
    known = load_manifest(lake, month)
    cells = rollups.cells(spark.read.parquet(str(lake.silver(month)))).toArrow()
    tables = rollups.tables(cells, month)
    warehouse.replace_month(month, {**tables, **month_summary_tables(known, sample_rows)})
    return {name: table.num_rows for name, table in tables.items()}


def month_summary_tables(known: MonthManifest, sample_rows: int) -> dict[str, pa.Table]:
    """What the warehouse says about the month itself: its rows in and out, and its rejections by rule."""
    months = [
        {
            "month": known.month,
            "fleet": fleet,
            "rows_bronze": count.bronze,
            "rows_silver": count.silver,
            "rows_rejected": count.rejected_rows,
            "sample_rows": min(count.silver, sample_rows),
            "source_url": known.urls[fleet],
            "bronze_sha256": known.digests[fleet],
            "published_at": known.published_at,
        }
        for fleet, count in known.counts.items()
    ]
    rejections = [
        {
            "month": known.month,
            "fleet": fleet,
            "rule": rule,
            "reason": reason,
            "trips": count.rejected.get(rule, 0),
        }
        for fleet, count in known.counts.items()
        for rule, reason in REASONS.items()
    ]
    return {"trip_months": pa.Table.from_pylist(months), "rejections": pa.Table.from_pylist(rejections)}


def version_of(*parts: object) -> str:
    """A short version made of everything that it depends on."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def bronze_version(lake: Lake, month: str) -> str:
    """Changes when the source publishes other bytes for any fleet of the month."""
    fleets = lake.bronze_fleets(month)
    return version_of(*(f"{fleet}:{(lake.receipt(fleet, month) or {})['sha256']}" for fleet in fleets))


def _manifest(known: MonthManifest) -> dict[str, Any]:
    return {
        "version": uuid.uuid4().hex,
        "month": known.month,
        "rules_version": RULES_VERSION,
        "rows": {
            fleet: {"bronze": count.bronze, "silver": count.silver, "rejected": count.rejected}
            for fleet, count in known.counts.items()
        },
        "bronze_sha256": known.digests,
        "source_urls": known.urls,
        "published_at": known.published_at.isoformat(timespec="seconds"),
    }


def _write(rows: DataFrame, folder: Path) -> None:
    rows.write.parquet(str(folder), compression="zstd")
    for path in folder.iterdir():
        if not path.name.endswith(".parquet") or path.name.startswith("."):
            path.unlink()  # checksums and markers of Hadoop's: the rename is our marker


def _require_reconciled(month: str, counts: dict[str, RowCounts], files: dict[str, Path]) -> None:
    for fleet, count in counts.items():
        if count.bronze != count.silver + count.rejected_rows:
            raise MonthError(
                f"{month} is not published: of {count.bronze:,} rows in {files[fleet].name}, {count.silver:,} came "
                f"out as trips and {count.rejected_rows:,} as rejected."
            )
        if count.silver == 0:
            broken = ", ".join(f"{rows:,} {rule}" for rule, rows in count.rejected.items())
            raise BrokenFileError(f"{files[fleet].name} has no valid trip of {month}: {broken}.")


def _rows_by_fleet(folder: Path) -> Counter[str]:
    """Rows of each fleet, from the footers where a row group holds one fleet, as ours do."""
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
    """Rows by fleet and rule, read one row group at a time."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for path in folder.glob("*.parquet"):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["fleet", "rule"])
            for entry in table.group_by(["fleet", "rule"]).aggregate([([], "count_all")]).to_pylist():
                rows[entry["fleet"]][entry["rule"]] += entry["count_all"]
    return rows


def _spark_failure(error: Exception, month: str, files: list[str], lake: Lake) -> LogitrackError:
    """One sentence out of a Java stack trace."""
    text = str(error)
    if isinstance(error, (Py4JNetworkError, ConnectionError)) or "Error while sending or receiving" in text:
        return SparkConnectionLostError(
            f"{month} was not made: Spark's JVM ended. The version before is still there; run it again."
        )
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return DiskFullError(f"{month} was not made: no space left below {lake.root}; free some and run again.")
    named = [name for name in files if name in text]
    if "FAILED_READ_FILE" in text or "ParquetDecodingException" in text or "CorruptStatistics" in text:
        return BrokenFileError(f"{', '.join(named or files)} is damaged: Spark cannot read its rows.")
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return MonthError(f"{month} was not made from {', '.join(files)}: {first}")
