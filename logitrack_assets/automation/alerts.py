"""Failures that a person must know of: told once per problem, not once per run."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

import httpx2
from dagster import DagsterInstance, DefaultSensorStatus, RunFailureSensorContext, SkipReason, run_failure_sensor

from logitrack_assets.settings import get_settings

REPEAT_AFTER = timedelta(hours=24)
_KEY = "logitrack/told"


def problem(job: str, step: str | None, error: str) -> str:
    """The same text for the same trouble: numbers, ids and paths in the error do not make it another."""
    essence = re.sub(r"[0-9a-f]{8,}|\d+|/\S+", "…", error.strip().splitlines()[0] if error.strip() else "")
    return f"{job} / {step or 'run'} / {essence[:200]}"


def should_notify(instance: DagsterInstance, what: str, now: datetime) -> bool:
    """Whether this problem was not told within the last day; remembers that it is told now.

    The memory is in Dagster's own storage, so that it holds across restarts.
    """
    told: dict[str, str] = json.loads(instance.daemon_cursor_storage.get_cursor_values({_KEY}).get(_KEY, "{}"))
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    fresh = {name: at for name, at in told.items() if now - datetime.fromisoformat(at) < REPEAT_AFTER}
    if key in fresh:
        return False
    instance.daemon_cursor_storage.set_cursor_values({_KEY: json.dumps(fresh | {key: now.isoformat()})})
    return True


@run_failure_sensor(
    name="alert_on_failure",
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Writes a failure to the log and to LOGITRACK_ALERT_WEBHOOK, once a day for the same problem.",
)
def alert_on_failure(context: RunFailureSensorContext) -> SkipReason | None:
    failures = context.get_step_failure_events()
    step = failures[0].step_key if failures else None
    error = context.failure_event.message or ""
    if failures and (data := failures[0].step_failure_data):
        if data.user_failure_data is not None and data.user_failure_data.description:
            error = data.user_failure_data.description
        elif data.error is not None:
            error = (data.error.cause or data.error).message
    job = context.dagster_run.job_name
    if not should_notify(context.instance, problem(job, step, error), datetime.now(UTC)):
        return SkipReason("Told already within the last day.")
    words = f"logitrack: {job} failed at {step or 'its start'}: {error.strip()} (run {context.dagster_run.run_id})"
    context.log.error(words)
    webhook = get_settings().alert_webhook
    if webhook is not None:
        try:
            httpx2.post(webhook.get_secret_value(), json={"text": words}, timeout=10).raise_for_status()
        except httpx2.HTTPError as failure:  # the address may hold a token: it is not repeated
            context.log.error(f"The alert could not be posted to LOGITRACK_ALERT_WEBHOOK: {type(failure).__name__}.")
    return None
