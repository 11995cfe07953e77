"""Conditions to report although no run failed, each as a list of alerts; empty while there is nothing to report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dagster import AssetKey, DagsterInstance

from logitrack_assets.automation.retraining import RetrainTrigger, drift_trigger, live_error_trigger
from logitrack_assets.eta.live_store import disabled_variants
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.materializations import VERSION
from logitrack_assets.run_workers import stalled_runs
from logitrack_assets.warehouse import Warehouse

UNREACHABLE_AFTER = timedelta(days=1)
_UNREACHABLE_KEY = "logitrack/source_unreachable_since"
MAX_TRAININGS = 5
"""Newest trainings among which the run of a version is looked for."""


@dataclass(frozen=True)
class ConditionAlert:
    """Something to report.

    Attributes:
        problem: Equal for equal problems, so that each is reported once.
        text: What happened.
        run_id: The run that shows it, None when there is none.
    """

    problem: str
    text: str
    run_id: str | None


def record_source_state(instance: DagsterInstance, *, reachable: bool, now: datetime) -> None:
    """Remember since when the source does not answer; called after each probe of it."""
    since = source_unreachable_since(instance)
    if reachable and since is not None:
        instance.daemon_cursor_storage.set_cursor_values({_UNREACHABLE_KEY: ""})
    elif not reachable and since is None:
        instance.daemon_cursor_storage.set_cursor_values({_UNREACHABLE_KEY: now.isoformat()})


def source_unreachable_since(instance: DagsterInstance) -> datetime | None:
    """Return the time of the first probe since which no probe of the source succeeded; None while it answers."""
    stored = instance.daemon_cursor_storage.get_cursor_values({_UNREACHABLE_KEY}).get(_UNREACHABLE_KEY)
    return datetime.fromisoformat(stored) if stored else None


def source_alerts(instance: DagsterInstance, base: str, now: datetime) -> list[ConditionAlert]:
    """Return an alert when the source has not answered for a day."""
    since = source_unreachable_since(instance)
    if since is None or now - since < UNREACHABLE_AFTER:
        return []
    text = f"the source {base} has not answered since {since:%Y-%m-%d %H:%M} UTC; new months are not ingested"
    return [ConditionAlert(f"source unreachable / {base}", text, None)]


def stalled_run_alerts(instance: DagsterInstance, now: datetime) -> list[ConditionAlert]:
    """Return an alert for each stalled run."""
    return [
        ConditionAlert(f"stalled run / {stalled.run.run_id}", stalled.text, stalled.run.run_id)
        for stalled in stalled_runs(instance, now)
    ]


def champion_alerts(
    instance: DagsterInstance, models: ModelRegistry, warehouse: Warehouse, *, worse_by: float
) -> list[ConditionAlert]:
    """Return alerts for drift, a live error above the test error of the champion, and live correction switched off.

    Args:
        instance: Where runs are recorded.
        models: The registry with the champion.
        warehouse: Where drift and outcomes are stored.
        worse_by: Share of the test error by which the live error may exceed it.
    """
    champion = models.champion()
    if champion is None:
        return []
    manifest = models.manifest(champion.version)
    with warehouse.connect() as connection:
        drift = drift_trigger(connection, manifest)
        live = live_error_trigger(connection, manifest, worse_by=worse_by)
        disabled = disabled_variants(connection, champion.version)
    return [
        *_trigger_alert(drift, champion.version, _latest_run(instance, "eta_drift")),
        *_trigger_alert(live, champion.version, _training_run(instance, champion.version)),
        *_disabled_alert(disabled, champion.version),
    ]


def _trigger_alert(trigger: RetrainTrigger | None, version: str, run_id: str | None) -> list[ConditionAlert]:
    if trigger is None:
        return []
    return [ConditionAlert(trigger.key, f"{trigger.reason} (champion {version})", run_id)]


def _disabled_alert(variants: list[str], version: str) -> list[ConditionAlert]:
    if not variants:
        return []
    text = f"live correction of {version} is switched off ({', '.join(variants)}): it made errors larger beyond noise"
    return [ConditionAlert(f"live correction off / {version}", text, None)]


def _latest_run(instance: DagsterInstance, asset: str) -> str | None:
    records = instance.fetch_materializations(AssetKey(asset), limit=1).records
    return records[0].run_id if records else None


def _training_run(instance: DagsterInstance, version: str) -> str | None:
    """Return the run that trained a version, if it is among the newest trainings."""
    for record in instance.fetch_materializations(AssetKey("eta_model"), limit=MAX_TRAININGS).records:
        entries = record.asset_materialization.metadata if record.asset_materialization is not None else {}
        if VERSION in entries and str(entries[VERSION].value) == version:
            return record.run_id
    return None
