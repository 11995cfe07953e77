"""Checks of the trip assets in Dagster: one result per month.

`trips` evaluates `MONTH_CHECKS` right after it published a month, so that a month has its results whatever happens to
the other months of the run. `month_complete` is a step of its own, which fails the run for the bad months after the
good ones are done.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    Failure,
    MetadataValue,
    Output,
    multi_asset_check,
)

from logitrack_assets.lake import Lake, VersionMismatchError
from logitrack_assets.materializations import (
    RecordedMaterializations,
    check_target,
)
from logitrack_assets.partitions import MONTHS, months_of_run
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.trips.asset_names import BRONZE, SAMPLE, SILVER, STATS, TRIP_ASSETS
from logitrack_assets.trips.quality import volume_and_duration_in_range
from logitrack_assets.trips.verdicts import (
    BLOCKING_CHECKS,
    LakeCheck,
    find_problems,
    recorded_problems,
    run_blocking_checks,
)
from logitrack_assets.trips.warehouse_quality import every_trip_counted, sample_size_and_keys

ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN
MONTH_COMPLETE = AssetCheckKey(AssetKey(SILVER), "month_complete")
MONTH_COMPLETE_SPEC = AssetCheckSpec(
    MONTH_COMPLETE.name,
    asset=MONTH_COMPLETE.asset_key,
    description="Every step of the month succeeded and every blocking check of it passed. This check fails the run for "
    "months of which that is not true, after all other months are done.",
    partitions_def=MONTHS,
)


@dataclass(frozen=True)
class CheckedStores:
    """Where the checks of a month read.

    Attributes:
        lake: The lake.
        warehouse: Opened by the checks of its tables only.
        versions: Silver version by month that this run materialised; other months are checked as they are.
    """

    lake: Lake
    warehouse: WarehouseResource
    versions: Mapping[str, str]


@dataclass(frozen=True)
class MonthCheck:
    """A check of one asset's month.

    Attributes:
        name: Name of the check.
        asset: Name of the asset.
        severity: Severity of a failure.
        blocking: Whether a month that fails is kept from training and drift, and fails the run.
        description: The claim that is checked.
        find: Returns the problems of a month.
    """

    name: str
    asset: str
    severity: AssetCheckSeverity
    blocking: bool
    description: str
    find: Callable[[CheckedStores, str], list[str]]

    @property
    def key(self) -> AssetCheckKey:
        """Dagster's key of the check."""
        return AssetCheckKey(AssetKey(self.asset), self.name)

    @property
    def spec(self) -> AssetCheckSpec:
        """Dagster's description of the check."""
        return AssetCheckSpec(
            self.name,
            asset=AssetKey(self.asset),
            description=self.description,
            blocking=self.blocking,
            partitions_def=MONTHS,
        )


def _lake_check(find: LakeCheck, asset: str, severity: AssetCheckSeverity) -> MonthCheck:
    def problems(stores: CheckedStores, month: str) -> list[str]:
        if asset == BRONZE:  # can exist before the month is cleaned, so no silver version has to stay
            return list(find(stores.lake, month))
        return find_problems(find, stores.lake, month, stores.versions.get(month))

    blocking = find.__name__ in BLOCKING_CHECKS
    return MonthCheck(find.__name__, asset, severity, blocking, _claim(find), problems)


def _claim(find: Callable[..., Iterator[str]]) -> str:
    return " ".join((find.__doc__ or "").split())


def _sample_problems(stores: CheckedStores, month: str) -> list[str]:
    return list(sample_size_and_keys(stores.warehouse.open(), month))


def _stats_problems(stores: CheckedStores, month: str) -> list[str]:
    return list(every_trip_counted(stores.lake, stores.warehouse.open(), month))


MONTH_CHECKS = (
    *(
        _lake_check(check, BRONZE if name == "receipt_matches_file" else SILVER, ERROR)
        for name, check in BLOCKING_CHECKS.items()
    ),
    _lake_check(volume_and_duration_in_range, SILVER, WARN),
    MonthCheck("sample_size_and_keys", SAMPLE, ERROR, False, _claim(sample_size_and_keys), _sample_problems),
    MonthCheck("every_trip_counted", STATS, ERROR, False, _claim(every_trip_counted), _stats_problems),
)


def evaluate_checks(
    month_checks: Iterable[MonthCheck], stores: CheckedStores, month: str
) -> dict[MonthCheck, list[str]]:
    """Return the problems that each check found in a month; record those of the lake's checks beside the month.

    Raises:
        VersionMismatchError: The lake holds another version than the one to check.
        WarehouseError: PostgreSQL does not answer.
    """
    version = stores.versions.get(month) or stores.lake.silver_version(month)
    found = {check: check.find(stores, month) for check in month_checks}
    in_lake = {check.name: problems for check, problems in found.items() if check.asset in (BRONZE, SILVER)}
    if version is not None and in_lake:
        stores.lake.record_check_results(month, version, in_lake)
    return found


def check_evaluation(
    check: MonthCheck, month: str, problems: list[str], recorded: RecordedMaterializations
) -> AssetCheckEvaluation:
    """Return the result of a check for Dagster's event log."""
    metadata: dict[str, Any] = {"problems": len(problems)}
    if problems:
        metadata["findings"] = MetadataValue.md("\n".join(f"- {problem}" for problem in problems))
    return AssetCheckEvaluation(
        asset_key=AssetKey(check.asset),
        check_name=check.name,
        passed=not problems,
        severity=check.severity,
        description="; ".join(problems) or f"{month} passed.",
        blocking=check.blocking,
        partition=month,
        metadata=metadata,
        target_materialization_data=check_target(recorded.record(check.asset, month)),
    )


@multi_asset_check(
    name=MONTH_COMPLETE.name,
    specs=[MONTH_COMPLETE_SPEC],
    can_subset=True,
)
def month_complete(
    context: AssetCheckExecutionContext, lake: LakeResource
) -> Iterator[AssetCheckEvaluation | Output[None]]:
    """Report each month of the run, and fail the run when one is not complete."""
    opened = lake.open(context.log.info)
    recorded = RecordedMaterializations(context.instance, context.run.run_id)
    errors = recorded.own_errors(TRIP_ASSETS)
    months = months_of_run(context.run.tags) or opened.silver_months()
    materialized = recorded.own_months(SILVER)
    try:
        found = {month: _incomplete(opened, month, errors, materialized) for month in months}
    except VersionMismatchError as error:
        raise Failure(str(error), allow_retries=False) from error
    problems = {month: text for month, text in found.items() if text is not None}
    for month in months:
        yield AssetCheckEvaluation(
            asset_key=MONTH_COMPLETE.asset_key,
            check_name=MONTH_COMPLETE.name,
            passed=month not in problems,
            severity=ERROR,
            description=problems.get(month, f"{month} is complete."),
            partition=month,
            target_materialization_data=check_target(recorded.record(SILVER, month)),
        )
    if problems:
        raise Failure(
            description=describe_failure(problems, done=len(months) - len(problems)),
            metadata=problems,
            allow_retries=False,
        )
    # Dagster expects an output for a check that is evaluated month by month.
    yield Output(None, output_name=MONTH_COMPLETE_SPEC.get_python_identifier())


def _incomplete(lake: Lake, month: str, errors: Mapping[str, str], materialized: Collection[str]) -> str | None:
    """Return why a month is not complete, or None."""
    if month in errors:
        return errors[month]
    if lake.silver_version(month) is None:
        return f"{month} has no valid trips in the lake. Materialise silver_trips."
    # In a run that materialises nothing, this step does not wait for the results of `trips`.
    results = lake.check_results(month) if month in materialized else run_blocking_checks(lake, month)
    return "; ".join(recorded_problems(results)) or None


def describe_failure(problems: Mapping[str, str], *, done: int, skipped: int = 0) -> str:
    """Return what the user reads of a run with bad months.

    Args:
        problems: Reason by month.
        done: Number of months that are published.
        skipped: Number of months that were not tried.
    """
    others = f" {done} other months are published." if done else ""
    others += f" {skipped} months were not tried." if skipped else ""
    if len(problems) == 1 and not others:
        return next(iter(problems.values()))
    return " ".join(_named(month, problem) for month, problem in problems.items()) + others


def _named(month: str, problem: str) -> str:
    return problem if problem.startswith(month) else f"[{month}] {problem}"


checks = [month_complete]
