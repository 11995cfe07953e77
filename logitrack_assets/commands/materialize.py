"""Months from the source to a champion, through Dagster, without a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance
from rich.console import Console

from logitrack_assets.commands.runs import run_job
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous
from logitrack_assets.settings import Settings

QUICK = {"backtest_folds": 2, "trees": 120}
"""A first look at a small sample: two thirds of the time, an error a percent or so higher."""


def materialize(
    settings: Settings, months: list[str], console: Console, *, training: Mapping[str, Any] | None = None
) -> list[str]:
    """Ingests the months, then trains on all that is there; gives a sentence for each thing that went wrong.

    `training` is what the launch pad calls the configuration of eta_model.
    Each stretch of months is one Dagster run. Where some of its months fail, the good ones are taken on without them.
    """
    problems: list[str] = []
    with DagsterInstance.get() as instance:
        for stretch in contiguous(months):
            console.print(f"[bold]ingest_month[/] {stretch[0]} to {stretch[1]}", highlight=False)
            report = run_job(instance, "ingest_month", console, months=stretch)
            problems += report.failures
        if Lake(settings.home).silver_months():
            console.print("[bold]retrain_eta[/]")
            report = run_job(
                instance,
                "retrain_eta",
                console,
                config={"ops": {"eta_model": {"config": dict(training or {})}}},
                tags={"logitrack/reason": "logitrack materialize"},
            )
            problems += report.failures
    return problems
