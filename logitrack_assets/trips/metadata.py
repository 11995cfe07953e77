"""Metadata of the trip assets in Dagster's UI: plain functions from results to metadata."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous, month_range
from logitrack_assets.plotting import as_markdown
from logitrack_assets.reference.zones import zones
from logitrack_assets.sample import folder as sample_folder
from logitrack_assets.trips.columns import file_entries, lake_entries
from logitrack_assets.trips.ingest import REPUBLISHED, IngestResult
from logitrack_assets.trips.manifest import MonthManifest, load_manifest
from logitrack_assets.trips.plots import rejections_by_rule
from logitrack_assets.trips.rules import REASONS
from logitrack_assets.trips.schema import REJECTED, SILVER

SECONDS = "_seconds"
"""Suffix of the metadata entries with the duration of a stage."""
PREVIEW_ROWS = 5
SHORT_DIGEST = 12
"""Characters of a digest that tell files apart and fit into a column."""
NO_BREAK_HYPHEN = "\u2011"
"""Keeps a date on one line in a narrow column."""
MAX_MONTHS_SIDE_BY_SIDE = 36


def elapsed_metadata(stage: str, started: float) -> dict[str, Any]:
    """Return the seconds of a stage as a number that Dagster plots over the months.

    Args:
        stage: Such as `download`.
        started: When the stage began, a `time.monotonic()`.
    """
    return {f"{stage}{SECONDS}": round(time.monotonic() - started, 2)}


def bronze_metadata(results: Sequence[IngestResult], base: str) -> dict[str, Any]:
    """Return what was ingested: outcome, length, rows, digest and unread columns of each fleet's file.

    Args:
        results: One result per fleet.
        base: Address of the source.
    """
    receipts = {result.fleet: result.receipt for result in results if result.receipt is not None}
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(receipt["rows"] for receipt in receipts.values()),
        "bytes": sum(receipt["bytes"] for receipt in receipts.values()),
        "source": base,
        "packaged_sample": base in (str(sample_folder()), sample_folder().as_uri()),
        "files": table_metadata(map(_file_record, results)),
        "file_schema": {fleet: receipt["schema"] for fleet, receipt in receipts.items()},
        "republished": [result.fleet for result in results if result.outcome == REPUBLISHED],
        **file_entries({fleet: receipt["schema"] for fleet, receipt in receipts.items()}),
    }
    unread = {fleet: receipt["unread_columns"] for fleet, receipt in receipts.items() if receipt["unread_columns"]}
    if unread:
        metadata["unread_columns"] = unread
    return metadata


def silver_metadata(manifest: MonthManifest, lake: Lake) -> dict[str, Any]:
    """Return the valid trips of a month by fleet, their version and a preview."""
    folder = lake.silver(manifest.month)
    return {
        "dagster/row_count": manifest.silver_rows,
        "version": manifest.version,
        "rows_by_fleet": {fleet: count.silver for fleet, count in manifest.counts.items()},
        "rejection_rate": round(manifest.rejection_rate, 4),
        "bytes": parquet_bytes(folder),
        "path": MetadataValue.path(str(folder)),
        "preview": preview_folder(folder),
        **lake_entries(SILVER, published_columns(manifest, lake)),
    }


def rejected_metadata(manifest: MonthManifest, lake: Lake) -> dict[str, Any]:
    """Return the rejected rows of a month by rule and fleet, their version and a preview."""
    folder = lake.rejected(manifest.month)
    records = [
        {"rule": rule}
        | {f"{fleet} rows": count.rejected.get(rule, 0) for fleet, count in manifest.counts.items()}
        | {"why": reason}
        for rule, reason in REASONS.items()
    ]
    return {
        "dagster/row_count": manifest.rejected_rows,
        "version": manifest.version,
        "rejection_rate": round(manifest.rejection_rate, 4),
        "by_rule": table_metadata(records),
        **{rule: manifest.rejected_by(rule) for rule in REASONS},  # single numbers: Dagster plots them
        "bytes": parquet_bytes(folder),
        "path": MetadataValue.path(str(folder)),
        "preview": preview_folder(folder),
        **lake_entries(REJECTED, published_columns(manifest, lake)),
    }


def published_columns(manifest: MonthManifest, lake: Lake) -> list[str]:
    """Return the columns of a month's published files, as their receipts state them."""
    receipts = [lake.receipt(fleet, manifest.month) or {} for fleet in manifest.counts]
    return sorted({name for receipt in receipts for name in receipt.get("schema", {})})


def months_overview(lake: Lake) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a comparison of the newest months of the lake.

    Returns:
        For silver_trips, a table of rows and rejection rates by fleet, in which months missing between others are
        one row; for rejected_trips, a figure of the rejected rows by rule. The lake must have a silver month.
    """
    names = lake.silver_months()[-MAX_MONTHS_SIDE_BY_SIDE:]
    manifests = {name: load_manifest(lake, name) for name in names if lake.manifest(name)}
    fleets = sorted({fleet for manifest in manifests.values() for fleet in manifest.counts})
    missing = contiguous(sorted(set(month_range(min(manifests), max(manifests))) - set(manifests)))
    records = [_month_record(month, manifest, fleets) for month, manifest in manifests.items()]
    records += [
        _month_record(first if first == last else f"{first} to {last}", None, fleets) for first, last in missing
    ]
    table = table_metadata(sorted(records, key=lambda record: str(record["month"])))
    figure = as_markdown(rejections_by_rule(list(manifests.values())), "rejections by rule")
    return {"months_side_by_side": table}, {"rejections_over_months": MetadataValue.md(figure)}


def sample_metadata(rows: pa.Table, max_rows: int) -> dict[str, Any]:
    """Return the rows of a sample, their maximum per fleet and a preview."""
    return {
        "dagster/row_count": rows.num_rows,
        "sample_rows_per_fleet": max_rows,
        "preview": preview_trips(rows),
    }


def stats_metadata(counts: dict[str, int], manifest: MonthManifest) -> dict[str, Any]:
    """Return the rows of each rollup table, and the trips that they count."""
    return {
        "dagster/row_count": sum(counts.values()),
        "trips_counted": manifest.silver_rows,
        "tables": table_metadata({"table": name, "rows": rows} for name, rows in counts.items()),
    }


def parquet_bytes(folder: Path) -> int:
    """Return the bytes of the Parquet files in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


def preview_folder(folder: Path) -> TableMetadataValue:
    """Return the first trips of a folder of Parquet files, readable for people."""
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(PREVIEW_ROWS):
            return preview_trips(pa.Table.from_batches([batch]))
    return preview_trips(pa.table({}))


def preview_trips(rows: pa.Table) -> TableMetadataValue:
    """Return the first trips of a table: zone names, minutes and miles to one decimal, the fleets and rules if any."""
    trips = rows.slice(0, PREVIEW_ROWS).to_pylist() if rows.num_rows else []
    records = [_trip_record(trip) for trip in trips]
    if len({trip["fleet"] for trip in trips}) == 1:  # the width of the table is what is scarce in the UI
        records = [{name: value for name, value in record.items() if name != "fleet"} for record in records]
    return table_metadata(records, empty_columns=["pickup", "from", "to"])


def table_metadata(records: Iterable[dict[str, Any]], empty_columns: Sequence[str] = ()) -> TableMetadataValue:
    """Return records with the same keys as a Dagster table.

    Args:
        records: The rows; None shows as an empty cell.
        empty_columns: Columns of the table when there is no record.
    """
    rows = list(records)
    kinds: dict[str, str] = dict.fromkeys(empty_columns if not rows else rows[0], "string")
    for row in rows:
        kinds |= {name: _TABLE_TYPES[type(value)] for name, value in row.items() if type(value) in _TABLE_TYPES}
    schema = TableSchema([TableColumn(name, kind) for name, kind in kinds.items()])
    return MetadataValue.table([TableRecord(row) for row in rows], schema)


_TABLE_TYPES: dict[type, str] = {int: "int", float: "float"}


def _file_record(result: IngestResult) -> dict[str, Any]:
    receipt = result.receipt or {"rows": 0, "bytes": 0, "sha256": "", "url": ""}
    return {
        "fleet": result.fleet,
        "outcome": result.outcome,
        "rows": receipt["rows"],
        "bytes": receipt["bytes"],
        "file": receipt["url"].rsplit("/", 1)[-1],
        "sha256": receipt["sha256"][:SHORT_DIGEST],  # the receipt has all of it
    }


def _month_record(month: str, manifest: MonthManifest | None, fleets: Sequence[str]) -> dict[str, Any]:
    record: dict[str, Any] = {"month": month, "state": "clean" if manifest else "MISSING"}
    for fleet in fleets:
        count = manifest.counts.get(fleet) if manifest else None
        record[f"{fleet} trips"] = count.silver if count else 0
        record[f"{fleet} rejected"] = f"{count.rejection_rate:.2%}" if count else "no file"
    return record


def _trip_record(trip: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "fleet": trip["fleet"],
        "pickup": _minute(trip["pickup_at"]),
        "from": _zone_name(trip["pickup_zone"]),
        "to": _zone_name(trip["dropoff_zone"]),
        "minutes": _tenths(trip["duration_minutes"]),
        "miles": _tenths(trip["distance_miles"]),
    }
    return record | {"rule": trip["rule"]} if "rule" in trip else record


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}".replace("-", NO_BREAK_HYPHEN)


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


@cache
def _zone_names() -> dict[int, str]:
    return {zone.zone: zone.name for zone in zones() if zone.name}


def _zone_name(zone: int | None) -> str | None:
    return None if zone is None else _zone_names().get(zone, f"zone {zone}")
