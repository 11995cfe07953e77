"""`logitrack check`: every asset check on what is materialised, as a table and as a JUnit file for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterEventType, DagsterInstance
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from logitrack_assets.commands.runs import run_job
from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous
from logitrack_assets.settings import Settings


@dataclass(frozen=True)
class CheckOutcome:
    """The result of one check on one asset.

    Attributes:
        asset: Name of the asset.
        check: Name of the check.
        months: The month, or `first to last`.
        passed: Whether the check passed.
        is_error: Whether its severity is ERROR rather than WARN, blocking or not.
        description: What the check found.
    """

    asset: str
    check: str
    months: str
    passed: bool
    is_error: bool
    description: str

    @property
    def failed(self) -> bool:
        """Whether the command fails because of it."""
        return self.is_error and not self.passed

    @property
    def warned(self) -> bool:
        """Whether it did not pass with severity WARN."""
        return not self.passed and not self.is_error


def run_asset_checks(
    settings: Settings, months: Sequence[str], console: Console, junit: Path | None
) -> list[CheckOutcome]:
    """Run the checks through Dagster, print them and return their outcomes.

    Args:
        settings: Of the installation.
        months: Months to check; every month in the lake when empty.
        console: Receives the table.
        junit: File for the outcomes as JUnit XML.

    Raises:
        LogitrackError: There is nothing to check, or a check could not run.
    """
    outcomes: list[CheckOutcome] = []
    with DagsterInstance.get() as instance:
        for month_range in contiguous(_months_in_lake(settings, months)):
            report = run_job(instance, "run_checks", console, months=month_range)
            found = sorted(_outcomes(instance, report.run_id, month_range), key=_order)
            if report.failures and not any(outcome.failed for outcome in found):
                raise LogitrackError(f"A check could not run: {'; '.join(report.failures)}.")
            outcomes += found
    _print_outcomes(outcomes, console)
    if junit is not None:
        write_junit(outcomes, junit)
    return outcomes


def write_junit(outcomes: Sequence[CheckOutcome], file: Path) -> None:
    """Write JUnit XML: a suite for each asset, a case for each check. A warning is a passed case with output."""
    root = ElementTree.Element("testsuites", name="logitrack check")
    for asset in sorted({outcome.asset for outcome in outcomes}):
        cases = [outcome for outcome in outcomes if outcome.asset == asset]
        failures = sum(outcome.failed for outcome in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=asset, tests=str(len(cases)), failures=str(failures), errors="0"
        )
        for outcome in cases:
            _add_case(suite, outcome)
    ElementTree.indent(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _add_case(suite: ElementTree.Element, outcome: CheckOutcome) -> None:
    name = f"{outcome.check} [{outcome.months}]"
    case = ElementTree.SubElement(suite, "testcase", classname=outcome.asset, name=name, time="0")
    if outcome.failed:
        ElementTree.SubElement(case, "failure", message=outcome.description).text = outcome.description
    elif outcome.description:
        ElementTree.SubElement(case, "system-out").text = outcome.description


def _months_in_lake(settings: Settings, months: Sequence[str]) -> list[str]:
    published = Lake(settings.home).silver_months()
    if missing := sorted(set(months) - set(published)):
        raise LogitrackError(
            f"{', '.join(missing)}: not materialised here, so there is nothing to check.",
            hint="Run `logitrack materialize --months …` first.",
        )
    if not published:
        raise LogitrackError("Nothing is materialised yet.", hint="Run `logitrack materialize --months …` first.")
    return list(months or published)


def _outcomes(instance: DagsterInstance, run_id: str, month_range: tuple[str, str]) -> Iterator[CheckOutcome]:
    """Yield an outcome for each month that did not pass a check, and one for all months that passed it."""
    passed: dict[tuple[str, str], list[AssetCheckEvaluation]] = {}
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        if entry.dagster_event is None:
            continue
        evaluation = entry.dagster_event.asset_check_evaluation_data
        if evaluation.passed:
            check = (evaluation.asset_key.to_user_string(), evaluation.check_name)
            passed.setdefault(check, []).append(evaluation)
        else:
            yield _outcome([evaluation], month_range)
    for evaluations in passed.values():
        yield _outcome(evaluations, month_range)


def _outcome(evaluations: Sequence[AssetCheckEvaluation], month_range: tuple[str, str]) -> CheckOutcome:
    """Return one outcome for equal results of a check; a result without a month is of the whole range."""
    evaluation = evaluations[0]
    months = sorted(entry.partition for entry in evaluations if entry.partition is not None)
    first, last = (months[0], months[-1]) if months else month_range
    several = f"{len(months)} months passed." if len(months) > 1 else ""
    return CheckOutcome(
        asset=evaluation.asset_key.to_user_string(),
        check=evaluation.check_name,
        months=first if first == last else f"{first} to {last}",
        passed=evaluation.passed,
        is_error=evaluation.severity == AssetCheckSeverity.ERROR,
        description=several or evaluation.description or _metadata_text(evaluation),
    )


def _metadata_text(evaluation: AssetCheckEvaluation) -> str:
    return "; ".join(
        f"{name}: {value.value}"
        for name, value in evaluation.metadata.items()
        if isinstance(value.value, str | float | int)
    )


def _order(outcome: CheckOutcome) -> tuple[bool, bool, str, str]:
    return not outcome.failed, outcome.passed, outcome.asset, outcome.check


def _print_outcomes(outcomes: Sequence[CheckOutcome], console: Console) -> None:
    table = Table("", "asset", "check", "months", "finding", box=None, pad_edge=False)
    for outcome in outcomes:
        sign = "[red]✗[/]" if outcome.failed else "[yellow]![/]" if outcome.warned else "[green]✓[/]"
        table.add_row(sign, outcome.asset, outcome.check, outcome.months, escape(outcome.description))
    console.print(table)
    failed, warned = (sum(getattr(outcome, state) for outcome in outcomes) for state in ("failed", "warned"))
    console.print(f"{len(outcomes)} checks: {failed} failed, {warned} warned.")
