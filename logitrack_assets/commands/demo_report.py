"""The report of a demo: rows, model, prediction and durations. `demo.json` has the same fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterInstance, EventLogRecord
from rich.console import Console
from rich.table import Table

from logitrack_assets.commands.models import open_registry
from logitrack_assets.database import database_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import write_atomic
from logitrack_assets.settings import Settings
from logitrack_assets.trips.metadata import SECONDS
from logitrack_assets.warehouse import Warehouse

MAX_MATERIALIZATIONS = 1_000


@dataclass(frozen=True)
class RowTotals:
    """Rows of all months: read from the source, kept as trips, rejected, and rejected by rule."""

    read: int
    kept: int
    rejected: int
    rejected_by_rule: dict[str, int]


@dataclass(frozen=True)
class DemoReport:
    """The report.

    Attributes:
        made_at: ISO 8601, UTC.
        source: Where the trips came from.
        rows: Totals of all months.
        model: Version and metrics of the champion.
        prediction: The request and the service's response.
        seconds_by_asset: Duration of the newest materialisations of each asset, longest first.
    """

    made_at: str
    source: str
    rows: RowTotals
    model: dict[str, Any]
    prediction: dict[str, Any]
    seconds_by_asset: dict[str, float]


def build_report(
    settings: Settings, *, source: str, request: Mapping[str, Any], response: Mapping[str, Any]
) -> DemoReport:
    """Return the report of what is materialised and of one prediction.

    Raises:
        LogitrackError: There is no champion.
    """
    models = open_registry(settings)
    champion = models.champion()
    if champion is None:
        raise LogitrackError("The champion is gone since the service started.", hint="Run the demo again.")
    return DemoReport(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source,
        rows=_row_totals(settings),
        model={
            "version": champion.version,
            "metrics": models.manifest(champion.version).metrics.model_dump(mode="json"),
        },
        prediction={"question": dict(request), "answer": dict(response)},
        seconds_by_asset=_seconds_by_asset(),
    )


def write_report(report: DemoReport, file: Path) -> None:
    """Write the report as JSON; readers see the previous file or the complete new one."""
    write_atomic(file, json.dumps(asdict(report), indent=2) + "\n")


def print_report(report: DemoReport, console: Console) -> None:
    """Print the report."""
    _print_rows(report, console)
    _print_model(report.model, console)
    _print_prediction(report.prediction, console)
    for asset, seconds in report.seconds_by_asset.items():
        console.print(f"  {asset:<20} {seconds:6.1f} s", highlight=False)


def _print_rows(report: DemoReport, console: Console) -> None:
    console.print(f"\n[bold]Trips[/] from {report.source}", highlight=False)
    table = Table("", "trips", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("read", f"{report.rows.read:,}")
    table.add_row("kept", f"{report.rows.kept:,}")
    for rule, trips in report.rows.rejected_by_rule.items():
        table.add_row(f"rejected: {rule}", f"{trips:,}")
    console.print(table)


def _print_model(model: Mapping[str, Any], console: Console) -> None:
    console.print(f"\n[bold]Model[/] {model['version']}", highlight=False)
    for name, metrics in model["metrics"].items():
        if isinstance(metrics, dict) and "mae_minutes" in metrics:
            values = ", ".join(f"{metric} {value:,.3f}" for metric, value in metrics.items() if value is not None)
            console.print(f"  {name:<10} {values}", highlight=False)


def _print_prediction(prediction: Mapping[str, Any], console: Console) -> None:
    request, response = prediction["question"], prediction["answer"]
    interval = response["interval"]
    console.print(
        f"\n[bold]Prediction[/] zone {request['pickup_zone']} to zone {request['dropoff_zone']} at "
        f"{request['pickup_at']}: [bold]{response['estimated_duration_minutes']:.1f} minutes[/] "
        f"({interval['low_minutes']:.1f} to {interval['high_minutes']:.1f} at {interval['level']:.0%}), "
        f"model {response['model_version']}\n",
        highlight=False,
    )


def _row_totals(settings: Settings) -> RowTotals:
    with Warehouse(database_url(settings)).connect() as connection:
        totals = connection.execute(
            "select coalesce(sum(rows_bronze), 0), coalesce(sum(rows_silver), 0), coalesce(sum(rows_rejected), 0) "
            "from warehouse.trip_months"
        ).fetchone()
        rules = connection.execute(
            "select rule, sum(trips) from warehouse.rejections group by rule having sum(trips) > 0 order by 2 desc"
        ).fetchall()
    read, kept, rejected = totals or (0, 0, 0)
    return RowTotals(int(read), int(kept), int(rejected), {rule: int(trips) for rule, trips in rules})


def _seconds_by_asset() -> dict[str, float]:
    with DagsterInstance.get() as instance:
        seconds = {key.to_user_string(): _asset_seconds(instance, key) for key in instance.all_asset_keys()}
    measured = {name: value for name, value in seconds.items() if value}  # external assets are not materialised here
    return dict(sorted(measured.items(), key=lambda item: -item[1]))


def _asset_seconds(instance: DagsterInstance, key: AssetKey) -> float:
    """Return the duration of an asset's newest materialisations, summed over its months."""
    newest: dict[str | None, float] = {}
    for record in instance.fetch_materializations(key, limit=MAX_MATERIALIZATIONS).records:  # newest first
        if record.partition_key not in newest:
            newest[record.partition_key] = _materialization_seconds(instance, record)
    return round(sum(newest.values()), 2)


def _materialization_seconds(instance: DagsterInstance, record: EventLogRecord) -> float:
    """Return the duration that the asset recorded, else that of its step.

    Months share a step, and so do assets: one that recorded no duration of its month was written with another one.
    """
    materialization, entry = record.asset_materialization, record.event_log_entry
    stages = {
        name: float(str(value.value))
        for name, value in (materialization.metadata if materialization is not None else {}).items()
        if name.endswith(SECONDS)
    }
    if stages or record.partition_key is not None:
        return sum(stages.values())
    steps = instance.get_run_step_stats(entry.run_id, [entry.step_key]) if entry.step_key else []
    return sum(step.end_time - step.start_time for step in steps if step.start_time and step.end_time)
