"""Run-failure alerts, deduplicated per problem for 24 hours."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, DefaultSensorStatus, RunFailureSensorContext, SkipReason, run_failure_sensor

from logitrack_assets.resources import AlertError, AlertWebhook

REPEAT_AFTER = timedelta(hours=24)
MAX_ERROR_CHARACTERS = 200
_CURSOR_KEY = "logitrack/told"


def problem_key(job: str, step: str | None, error: str) -> str:
    """Return a text that is equal for equal problems: numbers, ids and paths of the error are left out."""
    first_line = error.strip().splitlines()[0] if error.strip() else ""
    pattern = re.sub(r"[0-9a-f]{8,}|\d+|/\S+", "…", first_line)
    return f"{job} / {step or 'run'} / {pattern[:MAX_ERROR_CHARACTERS]}"


def should_notify(instance: DagsterInstance, problem: str, now: datetime) -> bool:
    """Return whether no alert of this problem was delivered in the last 24 hours."""
    return _digest(problem) not in _recent_alerts(instance, now)


def record_alert(instance: DagsterInstance, problem: str, now: datetime) -> None:
    """Remember that an alert of this problem was delivered, in Dagster's storage so that it survives a restart."""
    alerts = _recent_alerts(instance, now) | {_digest(problem): now.isoformat()}
    instance.daemon_cursor_storage.set_cursor_values({_CURSOR_KEY: json.dumps(alerts)})


def _recent_alerts(instance: DagsterInstance, now: datetime) -> dict[str, str]:
    stored = instance.daemon_cursor_storage.get_cursor_values({_CURSOR_KEY}).get(_CURSOR_KEY, "{}")
    alerts: dict[str, str] = json.loads(stored)
    return {digest: at for digest, at in alerts.items() if now - datetime.fromisoformat(at) < REPEAT_AFTER}


def _digest(problem: str) -> str:
    return hashlib.sha256(problem.encode()).hexdigest()[:16]


def _failed_step(context: RunFailureSensorContext) -> tuple[str | None, str]:
    """Return the first failed step and its error, or None and the error of the run."""
    failures = context.get_step_failure_events()
    if not failures:
        return None, context.failure_event.message or ""
    data = failures[0].step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return failures[0].step_key, data.user_failure_data.description
    if data.error is not None:
        return failures[0].step_key, (data.error.cause or data.error).message
    return failures[0].step_key, context.failure_event.message or ""


@run_failure_sensor(
    name="alert_on_failure",
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Reports failed runs to the log and to LOGITRACK_ALERT_WEBHOOK, once in 24 hours for the same problem.",
)
def alert_on_failure(context: RunFailureSensorContext, alerts: AlertWebhook) -> SkipReason | None:
    """Report a failed run unless its problem was reported in the last 24 hours."""
    job, (step, error) = context.dagster_run.job_name, _failed_step(context)
    problem, now = problem_key(job, step, error), datetime.now(UTC)
    if not should_notify(context.instance, problem, now):
        return SkipReason("The same problem was reported in the last 24 hours.")
    text = f"logitrack: {job} failed at {step or 'its start'}: {error.strip()} (run {context.dagster_run.run_id})"
    context.log.error(text)
    try:
        alerts.post(text)
    except AlertError as failure:  # not recorded, so that the next failure of this problem is posted
        context.log.error(str(failure))
    else:
        record_alert(context.instance, problem, now)
    return None
