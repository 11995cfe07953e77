"""The demo's question over HTTP and its report of everything that led to the answer."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import httpx2
from dagster import DagsterInstance, EventLogRecord
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from logitrack_assets.database import database_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import Settings

QUESTION = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2020-01-15T17:30:00"}
"""Midtown to JFK on a Wednesday at half past five."""


def ask(service_url: str) -> dict[str, Any]:
    """Registers a new user, gets a token and asks for a ride; gives the answer.

    Raises:
        LogitrackError: the service refused one of the three; the message carries its words.
    """
    user = {"username": f"demo-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(24)}
    with httpx2.Client(base_url=service_url, timeout=30) as client:
        _expect(client.post("/register", json=user))
        token = _expect(client.post("/token", data={"grant_type": "password", **user}))["access_token"]
        return _expect(client.post("/predict", json=QUESTION, headers={"Authorization": f"Bearer {token}"}))


def write_report(settings: Settings, answer: dict[str, Any], *, source: str) -> dict[str, Any]:
    """What was made of the trips and what was answered, also as `demo.json` in the home folder."""
    models = ModelRegistry(settings.home / "models")
    champion = models.champion()
    assert champion is not None, "the service answered without a champion"
    report = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": source,
        "rows": _rows(settings),
        "model": {
            "version": champion.version,
            "metrics": models.manifest(champion.version).metrics.model_dump(mode="json"),
        },
        "prediction": {"question": QUESTION, "answer": answer},
        "seconds_by_asset": _seconds_by_asset(),
    }
    target = settings.home / "demo.json"
    staged = target.with_suffix(".json.part")
    staged.write_text(json.dumps(report, indent=2) + "\n")
    staged.replace(target)
    return report


def print_report(report: dict[str, Any], console: Console) -> None:
    """The report as a screen."""
    rows = report["rows"]
    console.print(f"\n[bold]Trips[/] from {report['source']}", highlight=False)
    table = Table("", "trips", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("read", f"{rows['read']:,}")
    table.add_row("kept", f"{rows['kept']:,}")
    for rule, trips in rows["rejected_by_rule"].items():
        table.add_row(f"rejected: {rule}", f"{trips:,}")
    console.print(table)
    answer = report["prediction"]["answer"]
    console.print(f"\n[bold]Model[/] {report['model']['version']}", highlight=False)
    for what, errors in report["model"]["metrics"].items():
        if isinstance(errors, dict) and "mae_minutes" in errors:
            words = ", ".join(f"{name} {value:,.3f}" for name, value in errors.items() if value is not None)
            console.print(f"  {what:<10} {words}", highlight=False)
    interval = answer["interval"]
    console.print(
        f"\n[bold]Prediction[/] zone {QUESTION['pickup_zone']} to zone {QUESTION['dropoff_zone']} at "
        f"{QUESTION['pickup_at']}: [bold]{answer['estimated_duration_minutes']:.1f} minutes[/] "
        f"({interval['low_minutes']:.1f} to {interval['high_minutes']:.1f} at {interval['level']:.0%}), "
        f"model {answer['model_version']}\n",
        highlight=False,
    )
    for asset, seconds in report["seconds_by_asset"].items():
        console.print(f"  {asset:<20} {seconds:6.1f} s", highlight=False)


def _expect(response: httpx2.Response) -> dict[str, Any]:
    if not response.is_success:
        raise LogitrackError(
            f"The service answered {response.request.url.path} with {response.status_code}: {response.text[:300]}"
        )
    return response.json()


def _rows(settings: Settings) -> dict[str, Any]:
    engine = create_engine(database_url(settings))
    with engine.connect() as connection:
        read, kept, rejected = connection.execute(
            text("select sum(rows_bronze), sum(rows_silver), sum(rows_rejected) from warehouse.trip_months")
        ).one()
        rules = connection.execute(
            text(
                "select rule, sum(trips) from warehouse.rejections group by rule having sum(trips) > 0 order by 2 desc"
            )
        ).all()
    engine.dispose()
    return {
        "read": int(read or 0),
        "kept": int(kept or 0),
        "rejected": int(rejected or 0),
        "rejected_by_rule": {rule: int(trips) for rule, trips in rules},
    }


def _seconds_by_asset() -> dict[str, float]:
    """Seconds that the newest materialisations took, over all months of an asset.

    By the asset's own word where it gives one (several assets share a step), else by Dagster's clock of the step.
    """
    seconds: dict[str, float] = {}
    with DagsterInstance.get() as instance:
        for key in instance.all_asset_keys():
            newest: dict[str | None, float] = {}
            for record in instance.fetch_materializations(key, limit=1_000).records:  # newest first
                if record.partition_key not in newest:
                    newest[record.partition_key] = _seconds(instance, record)
            seconds[key.to_user_string()] = round(sum(newest.values()), 2)
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _seconds(instance: DagsterInstance, record: EventLogRecord) -> float:
    materialization, entry = record.asset_materialization, record.event_log_entry
    if materialization is not None and "seconds" in materialization.metadata:
        return float(materialization.metadata["seconds"].value)  # type: ignore[arg-type]
    steps = instance.get_run_step_stats(entry.run_id, [entry.step_key]) if entry.step_key else []
    return sum(step.end_time - step.start_time for step in steps if step.start_time and step.end_time)
