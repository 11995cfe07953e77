"""Retraining on new months, on drift, or on a live error above the test error; the run's tag says why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from logitrack_assets.automation.jobs import retrain_eta
from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.eta.drift_store import read_drifted_months
from logitrack_assets.eta.live_error import read_live_error
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.resources import ModelRegistryResource, MonitoringPolicy
from logitrack_assets.lake import Lake
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.settings import get_settings
from logitrack_assets.warehouse import Warehouse

LIVE_DAYS = 7
MIN_LIVE_OUTCOMES = 500
"""Outcomes below which the live error is too uncertain: at 500 its standard error is about 5%."""

MAX_NAMED_MONTHS = 6
MAX_DRIFTED_MONTHS = 3
MAX_REASON_CHARACTERS = 250  # of a run tag
BLOCKING_JOBS = ("ingest_month", "rebuild_month", "retrain_eta")


@dataclass(frozen=True)
class RetrainTrigger:
    """A reason to train.

    Attributes:
        reason: For the user, in the run's tag.
        key: Equal for equal causes, so that a cause starts one run.
        cooldown: Whether the cool-down holds it back: drift and live error, not new months.
    """

    reason: str
    key: str
    cooldown: bool


def new_months_trigger(lake: Lake, newest: Manifest | None) -> RetrainTrigger | None:
    """Return a trigger when the lake has silver months, or versions of them, that the newest model has not seen.

    Months before its training window do not count.
    """
    loaded = {
        (month, fleet, digest)
        for month in lake.silver_months()
        for fleet, digest in bronze_digests(lake, month).items()
    }
    seen = {(row.month, row.fleet, row.bronze_sha256) for row in newest.training} if newest else set()
    window_start = min((month for month, _, _ in seen), default="")
    unseen = sorted(row for row in loaded - seen if row[0] >= window_start)
    if not unseen:
        return None
    months = sorted({month for month, _, _ in unseen})
    more = len(months) - MAX_NAMED_MONTHS
    named = ", ".join(months[:MAX_NAMED_MONTHS]) + (f" and {more} more" if more > 0 else "")
    return RetrainTrigger(f"new months: {named}", _key("months", sorted(loaded)), cooldown=False)


def bronze_digests(lake: Lake, month: str) -> dict[str, str]:
    """Return the SHA-256 of a month's bronze files by fleet."""
    receipts = {fleet: lake.receipt(fleet, month) for fleet in lake.bronze_fleets(month)}
    return {fleet: receipt["sha256"] for fleet, receipt in receipts.items() if receipt}


def drift_trigger(connection: psycopg.Connection[Any], champion: Manifest) -> RetrainTrigger | None:
    """Return a trigger when months after the champion's training months have drifted."""
    drifted = read_drifted_months(connection, champion.version, after=champion.trained_through)
    if not drifted:
        return None
    named = "; ".join(f"{row.month} ({', '.join(row.measures)})" for row in drifted[-MAX_DRIFTED_MONTHS:])
    key = _key("drift", [champion.version, [row.month for row in drifted]])
    return RetrainTrigger(f"drift in {named}", key, cooldown=True)


def live_error_trigger(
    connection: psycopg.Connection[Any], champion: Manifest, *, worse_by: float
) -> RetrainTrigger | None:
    """Return a trigger when the live error of the outcomes that count exceeds the test error.

    Args:
        connection: To the database of the service.
        champion: The version whose predictions are evaluated.
        worse_by: Share of the test error by which the live error may exceed it.
    """
    live = read_live_error(connection, champion.version, days=LIVE_DAYS)
    expected = champion.metrics.mae_minutes
    if live.outcomes < MIN_LIVE_OUTCOMES or live.mae_minutes <= expected * (1 + worse_by):
        return None
    reason = f"live error {live.mae_minutes:.2f} minutes over {live.outcomes} trips, test error {expected:.2f}"
    return RetrainTrigger(reason, _key("live", [champion.version, f"{datetime.now(UTC):%G-%V}"]), cooldown=True)


def last_training(instance: DagsterInstance) -> datetime | None:
    """Return when the last training run was created, whatever its outcome."""
    records = instance.get_run_records(RunsFilter(job_name=retrain_eta.name), limit=1)
    return records[0].create_timestamp if records else None


def active_job(instance: DagsterInstance, jobs: Iterable[str]) -> str | None:
    """Return the first of these jobs that has a queued or running run."""
    for job in jobs:
        if instance.get_runs_count(RunsFilter(job_name=job, statuses=NOT_FINISHED_STATUSES)):
            return job
    return None


def find_triggers(
    lake: Lake, models: ModelRegistry, warehouse: Warehouse, *, live_error_worse_by: float
) -> list[RetrainTrigger]:
    """Return all reasons to train now."""
    versions, champion = models.versions(), models.champion()
    triggers = [new_months_trigger(lake, models.manifest(versions[-1]) if versions else None)]
    if champion is not None:
        manifest = models.manifest(champion.version)
        with warehouse.connect() as connection:
            triggers.append(drift_trigger(connection, manifest))
            triggers.append(live_error_trigger(connection, manifest, worse_by=live_error_worse_by))
    return [trigger for trigger in triggers if trigger is not None]


def cooldown_end(last: datetime | None, hours: float, now: datetime) -> datetime | None:
    """Return when the cool-down after the last training ends, or None when it is over.

    A last training in the future, after the clock was set back, counts by its distance.
    """
    cooldown = timedelta(hours=hours)
    return last + cooldown if last is not None and abs(now - last) < cooldown else None


@sensor(
    name="retrain_when_due",
    job=retrain_eta,
    minimum_interval_seconds=get_settings().retrain_interval_seconds,
    default_status=DefaultSensorStatus.RUNNING,
    description="Trains once per batch of new months, and on drift or a higher live error with a cool-down; "
    "the run's tag logitrack/reason says why.",
)
def retrain_when_due(
    context: SensorEvaluationContext,
    lake: LakeResource,
    registry: ModelRegistryResource,
    warehouse: WarehouseResource,
    policy: MonitoringPolicy,
) -> RunRequest | SkipReason:
    """Launch a training when there is a reason."""
    # A batch of months is complete when no ingestion is queued or running.
    if (job := active_job(context.instance, BLOCKING_JOBS)) is not None:
        return SkipReason(f"{job} is queued or running; the next tick decides.")
    due = find_triggers(
        lake.open(context.log.info),
        registry.open(),
        warehouse.open(),
        live_error_worse_by=policy.live_error_worse_by,
    )
    if not due:
        return SkipReason("No new months, no drift, no higher live error.")
    if all(trigger.cooldown for trigger in due):
        end = cooldown_end(last_training(context.instance), policy.retrain_cooldown_hours, datetime.now(UTC))
        if end is not None:
            return SkipReason(f"{due[0].reason}; cool-down until {end:%Y-%m-%d %H:%M} UTC.")
    return RunRequest(
        run_key=_key("retrain", [trigger.key for trigger in due]),
        tags={"logitrack/reason": "; ".join(trigger.reason for trigger in due)[:MAX_REASON_CHARACTERS]},
    )


def _key(kind: str, content: object) -> str:
    return f"{kind}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]}"
