"""`logitrack materialize`: months from the source to a champion, through Dagster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import DagsterInstance
from rich.console import Console

from logitrack_assets.commands.runs import run_job
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous
from logitrack_assets.settings import Settings

QUICK = {"backtest_folds": 2, "trees": 120}
"""Training options for a first look at a small sample: two thirds of the time, an error about 1% higher."""


def ingest_and_train(
    settings: Settings, months: Sequence[str], console: Console, *, training: Mapping[str, Any] | None = None
) -> list[str]:
    """Ingest months, then train on everything in the lake; return one sentence for each failure.

    Each range of contiguous months is one Dagster run. Months that fail do not keep the others from training.

    Args:
        settings: Of the installation.
        months: Months to ingest, sorted.
        console: Receives the progress.
        training: Configuration of eta_model.
    """
    failures: list[str] = []
    with DagsterInstance.get() as instance:
        for first, last in contiguous(list(months)):
            console.print(f"[bold]ingest_month[/] {first} to {last}", highlight=False)
            failures += run_job(instance, "ingest_month", console, months=(first, last)).failures
        if Lake(settings.home).silver_months():
            console.print("[bold]retrain_eta[/]")
            report = run_job(
                instance,
                "retrain_eta",
                console,
                config={"ops": {"eta_model": {"config": dict(training or {})}}},
                tags={"logitrack/reason": "logitrack materialize"},
            )
            failures += report.failures
    return failures
