"""`logitrack clean`: removal of old runs and old requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance
from rich.console import Console

from logitrack_assets.automation.retention import remove_old_requests, remove_old_runs
from logitrack_assets.database import database_url
from logitrack_assets.definitions import defs
from logitrack_assets.settings import Settings
from logitrack_assets.warehouse import Warehouse


def remove_old_records(settings: Settings, run_days: int | None, console: Console) -> None:
    """Remove runs and requests that are older than the settings allow.

    Args:
        settings: Of the installation.
        run_days: Age of runs in days, instead of the setting.
        console: Receives the counts.
    """
    now = datetime.now(UTC)
    before = now - timedelta(days=settings.keep_runs_days if run_days is None else run_days)
    with DagsterInstance.get() as instance:
        runs = remove_old_runs(instance, before, defs.resolve_asset_graph().asset_check_keys)
    console.print(f"{runs} runs from before {before:%Y-%m-%d} removed.", highlight=False)
    before = now - timedelta(days=settings.keep_requests_days)
    requests = sum(remove_old_requests(Warehouse(database_url(settings)), before).values())
    console.print(f"{requests} logged requests from before {before:%Y-%m-%d} removed.", highlight=False)
