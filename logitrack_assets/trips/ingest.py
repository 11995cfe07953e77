"""Brings a fleet's file of a month into the lake: fetch, check, publish with a receipt."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import write_json
from logitrack_assets.lake import RECEIPT, Lake
from logitrack_assets.trips.rules import month_bounds
from logitrack_assets.trips.schema import BrokenFileError, describe, read_footer, read_plan
from logitrack_assets.trips.source import Source, file_name

NEW, REPUBLISHED, UNCHANGED, WITHDRAWN, NOT_PUBLISHED = "new", "republished", "unchanged", "withdrawn", "not published"


class DiskFullError(LogitrackError):
    """No space where the lake is."""


@dataclass(frozen=True)
class IngestResult:
    """What became of a fleet's file of a month.

    `outcome` is one of: new; republished (the source has another version than before); unchanged (not downloaded
    again); withdrawn (the source no longer has it, the lake keeps it); not published (yet). `receipt` is None only
    for the last.
    """

    fleet: str
    month: str
    outcome: str
    receipt: dict[str, Any] | None
    replaced_sha256: str | None = None


def ingest_file(
    lake: Lake, source: Source, fleet: str, month: str, report: Callable[[str], None] = print
) -> IngestResult:
    """Makes sure that the lake has the source's present version of a fleet's file of a month.

    Raises SourceUnavailableError, SourceError, BrokenFileError (no trip file; the version before is kept) and
    DiskFullError.
    """
    published = source.probe(fleet, month)
    before = lake.receipt(fleet, month)
    if published is None:
        return IngestResult(fleet, month, WITHDRAWN if before else NOT_PUBLISHED, before)
    kept = lake.bronze(fleet, month) / file_name(fleet, month)
    if before is not None and _same(before, kept, published.url, published.bytes, published.etag):
        report(f"{published.name}: unchanged at the source")
        return IngestResult(fleet, month, UNCHANGED, before)

    staged = lake.staging(f"bronze-{fleet}-{month}")
    path = staged / published.name
    try:
        with lake.lock(staged.name):
            digest = source.fetch(published, path)
            facts = check(path, fleet, month)
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
        path.unlink(missing_ok=True)  # or the next attempt would take it for a part of the good one
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path.unlink(missing_ok=True)
        raise DiskFullError(f"{published.name}: no space left below {lake.root}; free some and run again.") from None
    return IngestResult(
        fleet, month, REPUBLISHED if before else NEW, receipt, replaced_sha256=before["sha256"] if before else None
    )


def check(path: Path, fleet: str, month: str) -> dict[str, Any]:
    """Facts about a file for its receipt: rows, schema, columns that nobody reads.

    Raises BrokenFileError when the file cannot be that month's trips.
    """
    footer = read_footer(path)
    schema = footer.schema.to_arrow_schema()
    plan = read_plan(schema, path.name)
    if footer.num_rows == 0:
        raise BrokenFileError(f"{path.name} has no rows.")
    pickup = next(reading.source for reading in plan.readings if reading.column.name == "pickup_at")
    earliest, latest = _range_of(footer, str(pickup))
    start, end = month_bounds(month)
    if earliest is not None and latest is not None and (latest < start or earliest >= end):
        raise BrokenFileError(
            f"{path.name} has no trip of {month}: its pickups are from {earliest:%Y-%m-%d} to {latest:%Y-%m-%d}."
        )
    return {"fleet": fleet, "rows": footer.num_rows, "schema": describe(schema), "unread_columns": list(plan.unknown)}


def _same(receipt: dict[str, Any], kept: Path, url: str, length: int | None, etag: str | None) -> bool:
    """Whether the lake has the very version that the source has. A source that tells nothing is asked again."""
    if not kept.exists() or kept.stat().st_size != receipt["bytes"] or receipt["url"] != url:
        return False
    if etag is not None or receipt["etag"] is not None:
        return receipt["etag"] == etag and length in (None, receipt["bytes"])
    return False


def _range_of(footer: pq.FileMetaData, column: str) -> tuple[datetime | None, datetime | None]:
    """Least and greatest value of a column by the footer's statistics; None where it has none."""
    index = footer.schema.names.index(column)
    statistics = [footer.row_group(group).column(index).statistics for group in range(footer.num_row_groups)]
    if not all(found is not None and found.has_min_max for found in statistics):
        return None, None
    return min(found.min for found in statistics), max(found.max for found in statistics)
