"""Which months of the lake may be trained on: those whose current version passed every blocking check.

The results lie beside the month (`Lake.check_results`), so training reads them without Dagster, and a new version of a
month begins without results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from logitrack_assets.lake import Lake
from logitrack_assets.trips import quality

LakeCheck = Callable[[Lake, str], Iterator[str]]

BLOCKING_CHECKS: dict[str, LakeCheck] = {
    check.__name__: check
    for check in (
        quality.receipt_matches_file,
        quality.row_count_reconciles,
        quality.schema_matches,
        quality.required_columns_not_null,
        quality.pickups_within_month,
    )
}
"""Checks of a month in the lake by name; a month that fails one is neither trained on nor compared."""


def find_problems(find: LakeCheck, lake: Lake, month: str, materialized: str | None = None) -> list[str]:
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


def blocking_problems(lake: Lake, month: str) -> list[str]:
    """Return what blocking checks found in the current version of a month; run those without a recorded result.

    Raises:
        VersionMismatchError: The month was replaced meanwhile.
    """
    version = lake.silver_version(month)
    if version is None:
        return [f"{month}: there is no silver version"]
    recorded = lake.check_results(month) or {}
    found = run_blocking_checks(lake, month, skip=recorded.keys())
    if found:
        lake.record_check_results(month, version, found)
    return recorded_problems(recorded | found)


def run_blocking_checks(lake: Lake, month: str, *, skip: Collection[str] = ()) -> dict[str, list[str]]:
    """Return what the blocking checks find in the current version of a month, by name of the check.

    Raises:
        VersionMismatchError: The month was replaced meanwhile.
    """
    return {name: find_problems(check, lake, month) for name, check in BLOCKING_CHECKS.items() if name not in skip}


def recorded_problems(results: Mapping[str, list[str]] | None) -> list[str]:
    """Return the problems of blocking checks among the results of a month, each with the name of its check."""
    return [
        f"{name}: {problem}" for name, found in (results or {}).items() if name in BLOCKING_CHECKS for problem in found
    ]


def months_to_train(lake: Lake, report: Callable[[str], None]) -> list[str]:
    """Return the silver months without problems, ascending; `report` receives a line for each other one.

    Raises:
        VersionMismatchError: A month was replaced meanwhile.
    """
    passed = []
    for month in lake.silver_months():
        if problems := blocking_problems(lake, month):
            report(f"{month} is not trained on: {'; '.join(problems)}")
        else:
            passed.append(month)
    return passed
