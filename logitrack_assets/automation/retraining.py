"""When the model is trained anew: new months, drift, or live errors that grew; each with its reason on the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from sqlalchemy import Connection, create_engine, text

from logitrack_assets.automation.jobs import retrain_eta
from logitrack_assets.database import database_url
from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_assets.settings import get_settings

LIVE_DAYS = 7
MIN_LIVE_OUTCOMES = 500
"""Fewer outcomes than this say more about chance than about the model: at 500 the error is known to about 5%."""


@dataclass(frozen=True)
class RetrainTrigger:
    """Why to train, and a key that is the same for the same reasons."""

    reason: str
    key: str
    urgent: bool
    """Drift or live error, which a cool-down holds back; new months are not."""


def new_months(lake: Lake, newest: Manifest | None) -> RetrainTrigger | None:
    """Clean months, or new versions of them, that the newest version has not seen; older ones than its window are not
    missed.
    """
    there = {
        (month, fleet, digest)
        for month in lake.silver_months()
        for fleet, digest in bronze_digests(lake, month).items()
    }
    seen = {(row.month, row.fleet, row.bronze_sha256) for row in newest.training} if newest else set()
    first = min((month for month, _, _ in seen), default="")
    unseen = sorted(row for row in there - seen if row[0] >= first)
    if not unseen:
        return None
    months = sorted({month for month, _, _ in unseen})
    named = ", ".join(months[:6]) + (f" and {len(months) - 6} more" if len(months) > 6 else "")
    return RetrainTrigger(f"new months: {named}", _key("months", sorted(there)), urgent=False)


def bronze_digests(lake: Lake, month: str) -> dict[str, str]:
    """Fleet to the digest of the file that is in the lake for a month."""
    receipts = {fleet: lake.receipt(fleet, month) for fleet in lake.bronze_fleets(month)}
    return {fleet: receipt["sha256"] for fleet, receipt in receipts.items() if receipt}


def drift(connection: Connection, champion: Manifest) -> RetrainTrigger | None:
    """Drift that was found for the champion in months after those it was trained on."""
    rows = connection.execute(
        text(
            "select month, string_agg(distinct measure, ', ' order by measure) from warehouse.eta_drift "
            "where model_version = :version and drifted and month > :through group by month order by month"
        ),
        {"version": champion.version, "through": champion.trained_through},
    ).all()
    if not rows:
        return None
    found = "; ".join(f"{month} ({measures})" for month, measures in rows[-3:])
    return RetrainTrigger(f"drift in {found}", _key("drift", [champion.version, [row[0] for row in rows]]), urgent=True)


def live_error(connection: Connection, champion: Manifest, *, worse_by: float) -> RetrainTrigger | None:
    """Errors of reported rides that exceed the champion's own test error by more than `worse_by` (a share)."""
    outcomes, live = connection.execute(
        text(
            "select count(*), avg(abs(o.duration_minutes - p.duration_minutes)) "
            "from service.predictions p join service.outcomes o using (prediction_id) "
            "where p.model_version = :version and o.account_id = p.account_id "
            "and o.reported_at > now() - make_interval(days => :days)"
        ),
        {"version": champion.version, "days": LIVE_DAYS},
    ).one()
    expected = champion.metrics.mae_minutes
    if outcomes < MIN_LIVE_OUTCOMES or live <= expected * (1 + worse_by):
        return None
    reason = f"live error {live:.2f} minutes over {outcomes} rides against {expected:.2f} at the test"
    return RetrainTrigger(reason, _key("live", [champion.version, f"{datetime.now(UTC):%G-%V}"]), urgent=True)


def last_training(instance: DagsterInstance) -> datetime | None:
    """When a training run last began, whatever became of it."""
    records = instance.get_run_records(RunsFilter(job_name=retrain_eta.name), limit=1)
    return records[0].create_timestamp if records else None


def active_job(instance: DagsterInstance, jobs: Iterable[str]) -> str | None:
    """The name of a job among these that waits or runs."""
    for job in jobs:
        if instance.get_runs_count(RunsFilter(job_name=job, statuses=NOT_FINISHED_STATUSES)):
            return job
    return None


@sensor(
    name="retrain_when_due",
    job=retrain_eta,
    minimum_interval_seconds=get_settings().retrain_interval_seconds,
    default_status=DefaultSensorStatus.RUNNING,
    description="Trains once per batch of new months, and on drift or worsening live error with a cool-down; "
    "the run's tag logitrack/reason says why.",
)
def retrain_when_due(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    settings = get_settings()
    # A batch is complete when nothing is being ingested any more.
    if (job := active_job(context.instance, ("ingest_month", "rebuild_month", "retrain_eta"))) is not None:
        return SkipReason(f"{job} is at work; asked again when it is done.")
    lake, models = Lake(settings.home), ModelRegistry(settings.home / "models")
    versions, champion = models.versions(), models.champion()
    found = [new_months(lake, models.manifest(versions[-1]) if versions else None)]
    if champion is not None:
        manifest = models.manifest(champion.version)
        engine = create_engine(database_url(settings))
        with engine.connect() as connection:
            found.append(drift(connection, manifest))
            found.append(live_error(connection, manifest, worse_by=settings.live_error_worse_by))
        engine.dispose()
    due = [reason for reason in found if reason is not None]
    if not due:
        return SkipReason("No new months, no drift, no worse live error.")
    if all(reason.urgent for reason in due):
        last = last_training(context.instance)
        cool_down = timedelta(hours=settings.retrain_cooldown_hours)
        if last is not None and abs(datetime.now(UTC) - last) < cool_down:  # either way: clocks are set back
            return SkipReason(f"{due[0].reason}; cooling down until {last + cool_down:%Y-%m-%d %H:%M} UTC.")
    return RunRequest(
        run_key=_key("retrain", [reason.key for reason in due]),
        tags={"logitrack/reason": "; ".join(reason.reason for reason in due)[:250]},
    )


def _key(kind: str, content: object) -> str:
    return f"{kind}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]}"
