"""Checks of `silver_trips`.

In a run over months they check those months, in a run without months every month in the lake.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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

from logitrack_assets.lake import Lake, VersionMismatchError
from logitrack_assets.materializations import VERSION, RecordedMaterializations
from logitrack_assets.resources import LakeResource
from logitrack_assets.trips.assets import SILVER as SILVER_TRIPS
from logitrack_assets.trips.quality import (
    pickups_within_month,
    required_columns_not_null,
    row_count_reconciles,
    schema_matches,
    volume_and_duration_in_range,
)


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
        VersionMismatchError: The lake holds another version before or after the check.
    """
    version = materialized or lake.silver_version(month)
    if version is None:  # deleted since the months of the run were listed
        return [f"{month}: there is no silver version"]
    with lake.pinned(month, version):
        return list(find(lake, month))


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
        except VersionMismatchError as error:
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


ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN

checks = [
    _month_check("row_count_reconciles", row_count_reconciles, ERROR),
    _month_check("schema_matches", schema_matches, ERROR),
    _month_check("required_columns_not_null", required_columns_not_null, ERROR),
    _month_check("pickups_within_month", pickups_within_month, ERROR),
    _month_check("volume_and_duration_in_range", volume_and_duration_in_range, WARN),
]
