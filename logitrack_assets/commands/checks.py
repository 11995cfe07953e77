"""Every asset check on what is materialised: a table for people, an exit code and a JUnit file for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster import AssetCheckSeverity, DagsterInstance
from rich.console import Console
from rich.table import Table

from logitrack_assets.commands.runs import run_job
from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous
from logitrack_assets.settings import Settings


@dataclass(frozen=True)
class CheckOutcome:
    """What one check said of one asset, for a range of months where it has months."""

    asset: str
    check: str
    months: str
    passed: bool
    severe: bool
    """Whether a failure counts: its severity is ERROR, whether or not it blocks."""
    why: str

    @property
    def broken(self) -> bool:
        return self.severe and not self.passed


def check(settings: Settings, months: Sequence[str], console: Console, junit: Path | None) -> list[CheckOutcome]:
    """Runs the checks through Dagster, prints them, and gives their verdicts.

    Raises:
        LogitrackError: there is nothing to check, or a check could not be carried out.
    """
    there = Lake(settings.home).silver_months()
    chosen = [month for month in months or there if month in there]
    if missing := sorted(set(months) - set(there)):
        raise LogitrackError(f"{', '.join(missing)}: not materialised here, so there is nothing to check.")
    if not chosen:
        raise LogitrackError("Nothing is materialised yet: `logitrack materialize --months …` comes first.")
    verdicts: list[CheckOutcome] = []
    with DagsterInstance.get() as instance:
        for stretch in contiguous(chosen):
            report = run_job(instance, "run_checks", console, months=stretch)
            verdicts += _verdicts(instance, report.run_id, stretch)
            if report.failures and not any(verdict.broken for verdict in verdicts):
                raise LogitrackError("A check could not be carried out: " + "; ".join(report.failures))
    _print(verdicts, console)
    if junit is not None:
        write_junit(verdicts, junit)
    return verdicts


def write_junit(verdicts: Sequence[CheckOutcome], file: Path) -> None:
    """The verdicts as a JUnit XML file: a suite an asset, a case a check; warnings are passes with words."""
    root = ElementTree.Element("testsuites", name="logitrack check")
    for asset in sorted({verdict.asset for verdict in verdicts}):
        cases = [verdict for verdict in verdicts if verdict.asset == asset]
        failures = sum(verdict.broken for verdict in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=asset, tests=str(len(cases)), failures=str(failures), errors="0"
        )
        for verdict in cases:
            case = ElementTree.SubElement(
                suite, "testcase", classname=asset, name=f"{verdict.check} [{verdict.months}]", time="0"
            )
            if verdict.broken:
                ElementTree.SubElement(case, "failure", message=verdict.why).text = verdict.why
            elif verdict.why:
                ElementTree.SubElement(case, "system-out").text = verdict.why
    ElementTree.indent(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _verdicts(instance: DagsterInstance, run_id: str, stretch: tuple[str, str]) -> list[CheckOutcome]:
    first, last = stretch
    found = []
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
            continue
        evaluation = event.asset_check_evaluation_data
        words = evaluation.description or "; ".join(
            f"{name}: {value.value}"
            for name, value in evaluation.metadata.items()
            if isinstance(value.value, str | float | int)
        )
        found.append(
            CheckOutcome(
                asset=evaluation.asset_key.to_user_string(),
                check=evaluation.check_name,
                months=first if first == last else f"{first} to {last}",
                passed=evaluation.passed,
                severe=evaluation.severity == AssetCheckSeverity.ERROR,
                why=words,
            )
        )
    return sorted(found, key=lambda verdict: (not verdict.broken, verdict.passed, verdict.asset, verdict.check))


def _print(verdicts: Sequence[CheckOutcome], console: Console) -> None:
    table = Table("", "asset", "check", "months", "why", box=None, pad_edge=False)
    for verdict in verdicts:
        sign = "[green]✓[/]" if verdict.passed else "[red]✗[/]" if verdict.severe else "[yellow]![/]"
        table.add_row(sign, verdict.asset, verdict.check, verdict.months, verdict.why)
    console.print(table)
    broken = sum(verdict.broken for verdict in verdicts)
    warned = sum(not verdict.passed and not verdict.severe for verdict in verdicts)
    console.print(f"{len(verdicts)} checks: {broken} failed, {warned} warned.")
