"""Ingestion of a fleet's file of a month into bronze: fetch, validate, publish with a receipt."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from logitrack_assets.files import write_json
from logitrack_assets.lake import RECEIPT, Lake
from logitrack_assets.months import Month
from logitrack_assets.trips.errors import BrokenFileError, DiskFullError
from logitrack_assets.trips.file_schema import column_types, plan_reading, read_footer
from logitrack_assets.trips.source import PublishedFile, Source, file_name

NEW, REPUBLISHED, UNCHANGED, WITHDRAWN, NOT_PUBLISHED = "new", "republished", "unchanged", "withdrawn", "not published"


@dataclass(frozen=True)
class IngestResult:
    """The result for one fleet's file of a month.

    Attributes:
        fleet: Fleet of the file.
        month: `YYYY-MM`.
        outcome: `NEW`; `REPUBLISHED` (the source has another version than the lake had); `UNCHANGED` (not downloaded
            again); `WITHDRAWN` (the source no longer has the file, the lake keeps it); `NOT_PUBLISHED` (yet).
        receipt: The receipt in the lake; None for `NOT_PUBLISHED`.
        replaced_sha256: Digest of the version that this one replaced, None when there was none.
    """

    fleet: str
    month: str
    outcome: str
    receipt: dict[str, Any] | None
    replaced_sha256: str | None = None


def ingest_file(
    lake: Lake, source: Source, fleet: str, month: str, report: Callable[[str], None] = print
) -> IngestResult:
    """Bring the source's current version of a fleet's file of a month into the lake.

    Raises:
        SourceUnavailableError: The source does not respond.
        SourceError: The source responds with another error.
        BrokenFileError: The file is not that month's trips; the previous version is kept.
        DiskFullError: No space is left below the lake.
    """
    published = source.probe(fleet, month)
    previous = lake.receipt(fleet, month)
    if published is None:
        return IngestResult(fleet, month, WITHDRAWN if previous else NOT_PUBLISHED, previous)
    stored = lake.bronze(fleet, month) / file_name(fleet, month)
    if previous is not None and _is_current(previous, stored, published):
        report(f"{published.name}: unchanged at the source")
        return IngestResult(fleet, month, UNCHANGED, previous)
    receipt = _download(lake, source, published, fleet, month)
    if previous is None:
        return IngestResult(fleet, month, NEW, receipt)
    return IngestResult(fleet, month, REPUBLISHED, receipt, replaced_sha256=previous["sha256"])


def inspect_file(path: Path, fleet: str, month: str) -> dict[str, Any]:
    """Return the facts about a file for its receipt: fleet, rows, schema and unread columns.

    Raises:
        BrokenFileError: The file cannot be that month's trips.
    """
    footer = read_footer(path)
    schema = footer.schema.to_arrow_schema()
    plan = plan_reading(schema, path.name)
    if footer.num_rows == 0:
        raise BrokenFileError(f"{path.name} has no rows.")
    earliest, latest = _value_range(footer, str(plan.source("pickup_at")))
    bounds = Month.parse(month)
    if earliest is not None and latest is not None and (latest < bounds.start or earliest >= bounds.end):
        raise BrokenFileError(
            f"{path.name} has no trip of {month}: its pickups are from {earliest:%Y-%m-%d} to {latest:%Y-%m-%d}."
        )
    return {
        "fleet": fleet,
        "rows": footer.num_rows,
        "schema": column_types(schema),
        "unread_columns": list(plan.unread),
    }


def _download(lake: Lake, source: Source, published: PublishedFile, fleet: str, month: str) -> dict[str, Any]:
    """Fetch, validate and publish a file; return its receipt."""
    staged = lake.staging(f"bronze-{fleet}-{month}")
    path = staged / published.name
    try:
        with lake.lock(staged.name):
            digest = source.fetch(published, path)
            facts = inspect_file(path, fleet, month)
            receipt = {
                "url": published.url,
                "bytes": path.stat().st_size,
                "sha256": digest,
                "etag": published.etag,
                "received_at": datetime.now(UTC).isoformat(timespec="seconds"),
                **facts,
            }
            write_json(staged / RECEIPT, receipt)
            lake.publish(staged, lake.bronze(fleet, month))
    except BrokenFileError:
        path.unlink(missing_ok=True)  # else the next attempt would continue it as a partial download
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path.unlink(missing_ok=True)
        raise DiskFullError(
            f"{published.name}: no space left below {lake.root}.", hint="Free some space and run the month again."
        ) from None
    return receipt


def _is_current(receipt: dict[str, Any], stored: Path, published: PublishedFile) -> bool:
    """Return whether the stored file is the published version; False when the source does not state its version."""
    if not stored.exists() or stored.stat().st_size != receipt["bytes"] or receipt["url"] != published.url:
        return False
    if published.etag is None or receipt["etag"] != published.etag:
        return False
    return published.bytes in (None, receipt["bytes"])


def _value_range(footer: pq.FileMetaData, column: str) -> tuple[datetime | None, datetime | None]:
    """Return the least and greatest value of a time column by the footer's statistics, None without statistics."""
    index = footer.schema.names.index(column)
    statistics = [footer.row_group(group).column(index).statistics for group in range(footer.num_row_groups)]
    if not all(found is not None and found.has_min_max for found in statistics):
        return None, None
    return min(found.min for found in statistics), max(found.max for found in statistics)
