"""Checks of `silver_trips`.

In a run over months they check those months, in a run without months every month in the lake.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    Failure,
    MetadataValue,
    asset_check,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import VERSION, RecordedMaterializations
from logitrack_assets.resources import LakeResource
from logitrack_assets.trips.assets import SILVER as SILVER_TRIPS
from logitrack_assets.trips.assets import silver_version
from logitrack_assets.trips.cleaning import REJECTED, SILVER
from logitrack_assets.trips.month import load_manifest
from logitrack_assets.trips.rules import month_bounds
from logitrack_assets.trips.source import file_name

KEY_COLUMNS = (
    "fleet", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "duration_minutes", "pickup_hour",
    "pickup_weekday", "is_holiday",
)  # fmt: skip
ARROW_TYPES = {
    "string": pa.string(), "int": pa.int32(), "smallint": pa.int16(), "double": pa.float64(), "boolean": pa.bool_(),
    "timestamp_ntz": pa.timestamp("us"),
}  # fmt: skip
RECENT_MONTHS = 6
REJECTION_RATE_RISE = 0.03
VOLUME_CHANGE = 0.5
MEDIAN_CHANGE = 0.2


class ReplacedVersionError(LogitrackError):
    """The lake holds another version of a month than the one to check."""


def row_count_reconciles(lake: Lake, month: str) -> Iterator[str]:
    """Every row of the source's files is a trip or a rejected row, by the rows that are really in the files."""
    came_in = sum(_rows(lake.bronze(fleet, month) / file_name(fleet, month)) for fleet in lake.bronze_fleets(month))
    trips, rejected = (sum(map(_rows, _files(folder))) for folder in (lake.silver(month), lake.rejected(month)))
    if came_in != trips + rejected:
        yield f"{month}: {came_in:,} rows came in, {trips:,} are trips and {rejected:,} are rejected"


def schema_matches(lake: Lake, month: str) -> Iterator[str]:
    """Silver and rejected have exactly the documented columns, in order and type."""
    for folder, columns in ((lake.silver(month), SILVER), (lake.rejected(month), REJECTED)):
        wanted = {name: ARROW_TYPES[kind] for name, (kind, _) in columns.items()}
        for path in _files(folder):
            found = {field.name: field.type for field in pq.read_schema(path)}
            if list(found.items()) != list(wanted.items()):
                differing = sorted({name for name, _ in set(found.items()) ^ set(wanted.items())}) or ["their order"]
                yield f"{month}: {folder.parent.name}/{path.name} differs in {', '.join(differing)}"


def required_columns_not_null(lake: Lake, month: str) -> Iterator[str]:
    """No trip lacks its times, zones or what follows from them; no rejected row lacks its rule."""
    for folder, columns in ((lake.silver(month), KEY_COLUMNS), (lake.rejected(month), ("rule",))):
        for path in _files(folder):
            nulls = {name: _nulls(path, name) for name in columns}
            if missing := {name: count for name, count in nulls.items() if count}:
                listed = ", ".join(f"{name} in {count:,} rows" for name, count in missing.items())
                yield f"{month}: {folder.parent.name}/{path.name} lacks {listed}"


def pickups_within_month(lake: Lake, month: str) -> Iterator[str]:
    """Every trip begins in its month."""
    start, end = month_bounds(month)
    for path in _files(lake.silver(month)):
        pickups = pq.read_table(path, columns=["pickup_at"], partitioning=None)["pickup_at"].to_numpy()
        outside = int(((pickups < np.datetime64(start)) | (pickups >= np.datetime64(end))).sum())
        if outside:
            yield f"{month}: {outside:,} trips in {path.name} begin outside the month"


@dataclass(frozen=True)
class MonthProfile:
    """What a fleet's month looks like at a glance."""

    rows: int
    rejection_rate: float
    median_minutes: float


def month_profile(lake: Lake, month: str) -> dict[str, MonthProfile]:
    """Rows, rejection rate and median duration of each fleet in a month."""
    known = load_manifest(lake, month)
    durations: dict[str, list[np.ndarray]] = {fleet: [] for fleet in known.counts}
    for path in _files(lake.silver(month)):
        rows = pq.read_table(path, columns=["fleet", "duration_minutes"], partitioning=None)
        fleets = rows["fleet"].to_numpy()
        for fleet, found in durations.items():
            found.append(rows["duration_minutes"].to_numpy()[fleets == fleet])
    return {
        fleet: MonthProfile(
            count.bronze, count.rejected_rows / max(count.bronze, 1), float(np.median(np.concatenate(durations[fleet])))
        )
        for fleet, count in known.counts.items()
    }


def volume_and_duration_in_range(lake: Lake, month: str) -> Iterator[str]:
    """Rejection rate, volume and median duration of each fleet, against the middle of its months just before."""
    earlier = [other for other in lake.silver_months() if other < month][-RECENT_MONTHS:]
    recent = [month_profile(lake, other) for other in earlier]
    for fleet, now in month_profile(lake, month).items():
        before = [entry[fleet] for entry in recent if fleet in entry]
        if not before:
            continue
        rate, rows, minutes = (
            float(np.median([getattr(entry, name) for entry in before]))
            for name in ("rejection_rate", "rows", "median_minutes")
        )
        if now.rejection_rate > rate + REJECTION_RATE_RISE:
            yield f"{month} {fleet}: {now.rejection_rate:.1%} of the rows are rejected, lately {rate:.1%}"
        if abs(now.rows / rows - 1) > VOLUME_CHANGE:
            yield f"{month} {fleet}: {now.rows:,} rows, lately {rows:,.0f}"
        if abs(now.median_minutes / minutes - 1) > MEDIAN_CHANGE:
            yield f"{month} {fleet}: the median trip takes {now.median_minutes:.1f} minutes, lately {minutes:.1f}"


def months_to_check(context: AssetCheckExecutionContext, lake: Lake) -> list[str]:
    """Return the months of the run that are in the lake; all of them for a run without months."""
    tags = context.run.tags
    published = lake.silver_months()
    if month := tags.get(PARTITION_NAME_TAG):
        return [month] if month in published else []
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return [month for month in published if (first is None or first <= month) and (last is None or month <= last)]


def find_problems(
    find: Callable[[Lake, str], Iterator[str]], lake: Lake, month: str, materialized: str | None
) -> list[str]:
    """Return the problems of a month's version that was materialised.

    Args:
        find: The check.
        lake: The lake.
        month: `YYYY-MM`.
        materialized: The silver version that the run materialised; None takes the one in the lake.

    Raises:
        ReplacedVersionError: The lake holds another version before or after the check.
    """
    version = materialized or silver_version(lake, month)
    _require_version(lake, month, version)
    problems = list(find(lake, month))
    _require_version(lake, month, version)
    return problems


def _require_version(lake: Lake, month: str, version: str | None) -> None:
    current = silver_version(lake, month)
    if current != version:
        raise ReplacedVersionError(
            f"{month} has silver version {current} in the lake, not {version}.",
            hint="Another run replaced it; the checks of that run apply.",
        )


def _month_check(
    name: str, find: Callable[[Lake, str], Iterator[str]], severity: AssetCheckSeverity
) -> AssetChecksDefinition:
    blocking = severity is AssetCheckSeverity.ERROR

    @asset_check(name=name, asset=SILVER_TRIPS, blocking=blocking, description=find.__doc__)
    def check_months(context: AssetCheckExecutionContext, lake: LakeResource) -> AssetCheckResult:
        recorded = RecordedMaterializations(context.instance, context.run.run_id).own_texts(SILVER_TRIPS, VERSION)
        opened = lake.open(context.log.info)
        months = months_to_check(context, opened)
        try:
            problems = [text for month in months for text in find_problems(find, opened, month, recorded.get(month))]
        except ReplacedVersionError as error:
            raise Failure(str(error), allow_retries=False) from error
        return AssetCheckResult(
            passed=not problems,
            severity=severity,
            description="; ".join(problems) or f"{len(months)} months passed.",
            metadata=_check_metadata(months, problems),
        )

    return check_months


def _check_metadata(months: Sequence[str], problems: Sequence[str]) -> dict[str, Any]:
    entries: dict[str, Any] = {"months": len(months)}
    if months:
        entries |= {"first_month": months[0], "last_month": months[-1]}
    if problems:
        entries["problems"] = MetadataValue.md("\n".join(f"- {problem}" for problem in problems))
    return entries


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows


def _nulls(path: Path, name: str) -> int:
    """Nulls in a column: by the footer where it says so, else by reading the column. A missing column is all null."""
    footer = pq.read_metadata(path)
    if name not in footer.schema.names:
        return footer.num_rows
    index = footer.schema.names.index(name)
    nulls = 0
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(index).statistics
        if statistics is not None and statistics.has_null_count:
            nulls += statistics.null_count
        else:
            nulls += pq.ParquetFile(path).read_row_group(group, columns=[name])[name].null_count
    return nulls


ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN

checks = [
    _month_check("row_count_reconciles", row_count_reconciles, ERROR),
    _month_check("schema_matches", schema_matches, ERROR),
    _month_check("required_columns_not_null", required_columns_not_null, ERROR),
    _month_check("pickups_within_month", pickups_within_month, ERROR),
    _month_check("volume_and_duration_in_range", volume_and_duration_in_range, WARN),
]
