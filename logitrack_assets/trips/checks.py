"""Checks of the months in the lake.

In a run over months they look at those months; launched without any, at every month in the lake. They read Parquet
footers and one column at a time, so they need no Spark.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    MetadataValue,
    asset_check,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from logitrack_assets.lake import Lake
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.quality import (
    pickups_within_month,
    required_columns_not_null,
    row_count_reconciles,
    schema_matches,
    volume_and_duration_in_range,
)


def months_to_check(context: AssetCheckExecutionContext, lake: Lake) -> list[str]:
    """The months of the run, as far as they are in the lake; without any, all that are."""
    tags = context.run.tags
    there = lake.silver_months()
    if month := tags.get(PARTITION_NAME_TAG):
        return [month] if month in there else []
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return [month for month in there if (first is None or first <= month) and (last is None or month <= last)]


def _check(
    name: str, asset: str, find: Callable[[Lake, str], Iterator[str]], severity: AssetCheckSeverity
) -> AssetChecksDefinition:
    blocking = severity is AssetCheckSeverity.ERROR

    @asset_check(name=name, asset=asset, blocking=blocking, description=find.__doc__)
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        lake = Lake(get_settings().home)
        lake.recover()
        months = months_to_check(context, lake)
        problems = [problem for month in months for problem in find(lake, month)]
        return AssetCheckResult(
            passed=not problems,
            severity=severity,
            description="; ".join(problems) or f"{len(months)} months are as they should be",
            metadata=_listed(months, problems),
        )

    return check


def _listed(months: Sequence[str], problems: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"months": len(months)}
    if months:
        told |= {"first_month": months[0], "last_month": months[-1]}
    if problems:
        told["problems"] = MetadataValue.md("\n".join(f"- {problem}" for problem in problems))
    return told


ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN

checks = [
    _check("row_count_reconciles", "silver_trips", row_count_reconciles, ERROR),
    _check("schema_matches", "silver_trips", schema_matches, ERROR),
    _check("required_columns_not_null", "silver_trips", required_columns_not_null, ERROR),
    _check("pickups_within_month", "silver_trips", pickups_within_month, ERROR),
    _check("volume_and_duration_in_range", "silver_trips", volume_and_duration_in_range, WARN),
]
