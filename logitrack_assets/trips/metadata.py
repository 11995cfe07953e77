"""What the assets tell about themselves in Dagster's UI: plain functions from results to metadata."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dagster import (
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)

from logitrack_assets.lake import Lake
from logitrack_assets.partitions import month_range
from logitrack_assets.plotting import as_markdown
from logitrack_assets.sample import folder as sample_folder
from logitrack_assets.trips.cleaning import REJECTED, SILVER
from logitrack_assets.trips.ingest import REPUBLISHED, IngestResult
from logitrack_assets.trips.month import MonthManifest, load_manifest
from logitrack_assets.trips.plots import rejections_by_rule, rows_of
from logitrack_assets.trips.rules import REASONS

PREVIEW_ROWS = 5
MONTHS_SIDE_BY_SIDE = 36


def elapsed_metadata(started: float) -> dict[str, Any]:
    """Seconds since `started`, a `time.monotonic()`."""
    return {"seconds": round(time.monotonic() - started, 2)}


def column_schema(which: str) -> TableSchema:
    """Columns of a `silver` or `rejected` month, with their meanings."""
    columns = {"silver": SILVER, "rejected": REJECTED}[which]
    return TableSchema([TableColumn(name, kind, description=meaning) for name, (kind, meaning) in columns.items()])


def bronze_metadata(results: Sequence[IngestResult], base: str) -> dict[str, Any]:
    """What came from the source: outcome, length, rows, digest and unread columns of each fleet's file."""
    there = [(result, result.receipt) for result in results if result.receipt is not None]
    rows = [
        {
            "fleet": result.fleet,
            "outcome": result.outcome,
            "rows": receipt["rows"] if (receipt := result.receipt) else 0,
            "bytes": receipt["bytes"] if receipt else 0,
            "sha256": receipt["sha256"] if receipt else "",
            "url": receipt["url"] if receipt else "",
        }
        for result in results
    ]
    unread = {result.fleet: receipt["unread_columns"] for result, receipt in there if receipt["unread_columns"]}
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(receipt["rows"] for _, receipt in there),
        "bytes": sum(receipt["bytes"] for _, receipt in there),
        "source": base,
        "packaged_sample": base in (str(sample_folder()), sample_folder().as_uri()),
        "files": table(rows),
        "file_schema": {result.fleet: receipt["schema"] for result, receipt in there},
        "republished": [result.fleet for result in results if result.outcome == REPUBLISHED],
    }
    if unread:
        metadata["unread_columns"] = unread
    return metadata


def silver_metadata(known: MonthManifest, lake: Lake) -> dict[str, Any]:
    """Trips that count, by fleet, with a preview."""
    folder = lake.silver(known.month)
    return {
        "dagster/row_count": known.silver_rows,
        "rows_by_fleet": {fleet: count.silver for fleet, count in known.counts.items()},
        "rejection_rate": rejection_rate(known),
        "bytes": size_of(folder),
        "path": MetadataValue.path(str(folder)),
        "preview": preview(folder),
    }


def rejected_metadata(known: MonthManifest, lake: Lake) -> dict[str, Any]:
    """Rows that are no trips, by fleet and rule, with a preview."""
    folder = lake.rejected(known.month)
    total = {rule: rows_of(known, rule) for rule in REASONS}
    rows = [
        {"fleet": fleet, "rule": rule, "rows": count.rejected.get(rule, 0), "why": why}
        for fleet, count in known.counts.items()
        for rule, why in REASONS.items()
    ]
    return {
        "dagster/row_count": known.rejected_rows,
        "rejection_rate": rejection_rate(known),
        "by_rule": table(rows),
        **{f"rejected/{rule}": count for rule, count in total.items()},  # numbers of their own: Dagster charts them
        "bytes": size_of(folder),
        "path": MetadataValue.path(str(folder)),
        "preview": preview(folder),
    }


def months_overview(lake: Lake) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the newest months of the lake look like side by side: for silver_trips their rows and rejection rate by
    fleet, with the months between that are not there; for rejected_trips a picture of the rules that were broken.
    """
    names = lake.silver_months()
    there = {name: load_manifest(lake, name) for name in names[-MONTHS_SIDE_BY_SIDE:] if lake.manifest(name)}
    fleets = sorted({fleet for known in there.values() for fleet in known.counts})
    rows = []
    for name in month_range(min(there), max(there))[-MONTHS_SIDE_BY_SIDE:]:
        known = there.get(name)
        row: dict[str, Any] = {"month": name, "state": "clean" if known else "NOT THERE"}
        for fleet in fleets:
            count = known.counts.get(fleet) if known else None
            row[f"{fleet} trips"] = count.silver if count else 0
            row[f"{fleet} rejected"] = f"{count.rejected_rows / max(count.bronze, 1):.2%}" if count else "no file"
        rows.append(row)
    picture = as_markdown(rejections_by_rule(list(there.values())), "rejections by rule")
    return {"months_side_by_side": table(rows)}, {"rejections_over_months": MetadataValue.md(picture)}


def sample_metadata(rows: pa.Table, asked: int) -> dict[str, Any]:
    """Rows in the sample and how many were asked for."""
    return {
        "dagster/row_count": rows.num_rows,
        "sample_rows_per_fleet": asked,
        "preview": MetadataValue.md(markdown(rows.slice(0, PREVIEW_ROWS))),
    }


def stats_metadata(counts: dict[str, int], known: MonthManifest) -> dict[str, Any]:
    """Rows in each rollup table, and the trips that they count."""
    return {
        "dagster/row_count": sum(counts.values()),
        "trips_counted": known.silver_rows,
        "tables": table([{"table": name, "rows": rows} for name, rows in counts.items()]),
    }


def rejection_rate(known: MonthManifest) -> float:
    """Share of the month's rows that are no trips."""
    return known.rejected_rows / max(known.silver_rows + known.rejected_rows, 1)


def size_of(folder: Path) -> int:
    """Bytes of the Parquet files in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


def preview(folder: Path) -> MetadataValue:
    """The first rows of a folder of Parquet files as a Markdown table."""
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(PREVIEW_ROWS):
            return MetadataValue.md(markdown(pa.table(batch)))
    return MetadataValue.md("*no rows*")


def table(rows: Iterable[dict[str, Any]]) -> MetadataValue:
    """Rows as a table of Dagster's."""
    records = list(rows)
    kinds = {int: "int", float: "float"}
    columns = [TableColumn(name, kinds.get(type(value), "string")) for name, value in records[0].items()]
    return MetadataValue.table([TableRecord(record) for record in records], TableSchema(columns))


def markdown(rows: pa.Table) -> str:
    """A small table in Markdown; columns that are null in every row are left out."""
    names = [name for name in rows.column_names if rows[name].null_count < rows.num_rows]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for record in rows.select(names).to_pylist():
        lines.append("| " + " | ".join("" if value is None else str(value) for value in record.values()) + " |")
    return "\n".join(lines)
