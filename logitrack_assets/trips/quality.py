"""Quality checks of a month in the lake, as plain functions.

Each check yields one sentence per problem and nothing for a good month; its docstring states the claim that it checks,
which Dagster shows as the check's description. Checks read Parquet footers and single columns, so they need no Spark
session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_assets.files import sha256_digest
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.trips.manifest import load_manifest
from logitrack_assets.trips.schema import REJECTED, SILVER
from logitrack_assets.trips.source import file_name

REQUIRED_COLUMNS = (
    "fleet", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "duration_minutes", "pickup_hour",
    "pickup_weekday", "is_holiday",
)  # fmt: skip
ARROW_TYPES = {
    "string": pa.string(), "int": pa.int32(), "smallint": pa.int16(), "double": pa.float64(), "boolean": pa.bool_(),
    "timestamp_ntz": pa.timestamp("us"),
}  # fmt: skip
RECENT_MONTHS = 6
MAX_REJECTION_RATE_RISE = 0.03
"""Share of a month's rows, as a difference to the recent median."""
MAX_VOLUME_CHANGE = 0.5
"""Share of the recent median of rows."""
MAX_MEDIAN_CHANGE = 0.2
"""Share of the recent median of the median durations."""


def receipt_matches_file(lake: Lake, month: str) -> Iterator[str]:
    """Each published file has rows, as many as its receipt states, and the receipt's SHA-256."""
    for fleet in lake.bronze_fleets(month):
        path = lake.bronze(fleet, month) / file_name(fleet, month)
        receipt = lake.receipt(fleet, month) or {}
        if not path.is_file():
            yield f"{month}: {path.name} is missing beside its receipt"
            continue
        if sha256_digest(path) != receipt.get("sha256"):
            yield f"{month}: {path.name} differs from its receipt"
        elif not (rows := _row_count(path)) or rows != receipt.get("rows"):
            yield f"{month}: {path.name} has {rows:,} rows, its receipt states {receipt.get('rows'):,}"


def row_count_reconciles(lake: Lake, month: str) -> Iterator[str]:
    """Every published row is a valid trip or a rejected row, counted in the files themselves."""
    bronze = sum(_row_count(lake.bronze(fleet, month) / file_name(fleet, month)) for fleet in lake.bronze_fleets(month))
    silver, rejected = (
        sum(map(_row_count, _parquet_files(folder))) for folder in (lake.silver(month), lake.rejected(month))
    )
    if bronze != silver + rejected:
        yield f"{month}: {bronze:,} rows were published, but {silver:,} are valid trips and {rejected:,} are rejected"


def schema_matches(lake: Lake, month: str) -> Iterator[str]:
    """Silver and rejected have exactly the documented columns, in order and type."""
    for folder, columns in ((lake.silver(month), SILVER), (lake.rejected(month), REJECTED)):
        expected = {name: ARROW_TYPES[column.type] for name, column in columns.items()}
        for path in _parquet_files(folder):
            found = {field.name: field.type for field in pq.read_schema(path)}
            if list(found.items()) != list(expected.items()):
                differing = sorted({name for name, _ in set(found.items()) ^ set(expected.items())}) or ["the order"]
                yield f"{month}: {folder.parent.name}/{path.name} differs in {', '.join(differing)}"


def required_columns_not_null(lake: Lake, month: str) -> Iterator[str]:
    """Valid trips have times, zones and derived columns; rejected rows have a rule."""
    for folder, columns in ((lake.silver(month), REQUIRED_COLUMNS), (lake.rejected(month), ("rule",))):
        for path in _parquet_files(folder):
            nulls = {name: _null_count(path, name) for name in columns}
            if missing := {name: count for name, count in nulls.items() if count}:
                listed = ", ".join(f"{name} in {count:,} rows" for name, count in missing.items())
                yield f"{month}: {folder.parent.name}/{path.name} lacks {listed}"


def pickups_within_month(lake: Lake, month: str) -> Iterator[str]:
    """Every valid trip begins in its month."""
    bounds = Month.parse(month)
    start, end = np.datetime64(bounds.start), np.datetime64(bounds.end)
    for path in _parquet_files(lake.silver(month)):
        pickups = pq.read_table(path, columns=["pickup_at"], partitioning=None)["pickup_at"].to_numpy()
        outside = int(((pickups < start) | (pickups >= end)).sum())
        if outside:
            yield f"{month}: {outside:,} trips in {path.name} begin outside the month"


@dataclass(frozen=True)
class MonthProfile:
    """Summary of one fleet's month.

    Attributes:
        rows: Published rows.
        rejection_rate: Share of them that are rejected, 0 to 1.
        median_minutes: Median duration of the valid trips.
    """

    rows: float
    rejection_rate: float
    median_minutes: float


def month_profile(lake: Lake, month: str) -> dict[str, MonthProfile]:
    """Return the profile of each fleet in a month."""
    manifest = load_manifest(lake, month)
    durations: dict[str, list[NDArray[np.float64]]] = {fleet: [] for fleet in manifest.counts}
    for path in _parquet_files(lake.silver(month)):
        rows = pq.read_table(path, columns=["fleet", "duration_minutes"], partitioning=None)
        fleets = rows["fleet"].to_numpy()
        for fleet, parts in durations.items():
            parts.append(rows["duration_minutes"].to_numpy()[fleets == fleet])
    return {
        fleet: MonthProfile(count.bronze, count.rejection_rate, float(np.median(np.concatenate(durations[fleet]))))
        for fleet, count in manifest.counts.items()
    }


def volume_and_duration_in_range(lake: Lake, month: str) -> Iterator[str]:
    """Rejection rate, rows and median duration of each fleet are near the medians of its preceding months."""
    preceding = [other for other in lake.silver_months() if other < month][-RECENT_MONTHS:]
    recent = [month_profile(lake, other) for other in preceding]
    for fleet, profile in month_profile(lake, month).items():
        profiles = [entry[fleet] for entry in recent if fleet in entry]
        if profiles:
            for problem in _deviations(profile, _median_profile(profiles)):
                yield f"{month} {fleet}: {problem}"


def _median_profile(profiles: list[MonthProfile]) -> MonthProfile:
    return MonthProfile(
        rows=float(np.median([profile.rows for profile in profiles])),
        rejection_rate=float(np.median([profile.rejection_rate for profile in profiles])),
        median_minutes=float(np.median([profile.median_minutes for profile in profiles])),
    )


def _deviations(profile: MonthProfile, recent: MonthProfile) -> Iterator[str]:
    if profile.rejection_rate > recent.rejection_rate + MAX_REJECTION_RATE_RISE:
        yield f"{profile.rejection_rate:.1%} of the rows are rejected, recently {recent.rejection_rate:.1%}"
    if abs(profile.rows / recent.rows - 1) > MAX_VOLUME_CHANGE:
        yield f"{profile.rows:,.0f} rows, recently {recent.rows:,.0f}"
    if abs(profile.median_minutes / recent.median_minutes - 1) > MAX_MEDIAN_CHANGE:
        yield f"the median trip takes {profile.median_minutes:.1f} minutes, recently {recent.median_minutes:.1f}"


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _row_count(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _null_count(path: Path, name: str) -> int:
    """Return the nulls of a column by the footer's statistics, else by reading it; a missing column is all null."""
    footer = pq.read_metadata(path)
    if name not in footer.schema.names:
        return int(footer.num_rows)
    index = footer.schema.names.index(name)
    nulls = 0
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(index).statistics
        if statistics is not None and statistics.has_null_count:
            nulls += statistics.null_count
        else:
            nulls += pq.ParquetFile(path).read_row_group(group, columns=[name])[name].null_count
    return nulls
