"""Alerts on failed runs and on conditions, deduplicated per problem for 24 hours.

An alert counts as reported only after the webhook accepted it; until then each evaluation posts it again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    RunFailureSensorContext,
    SensorEvaluationContext,
    SkipReason,
    run_failure_sensor,
    sensor,
)

from logitrack_assets.automation.conditions import (
    ConditionAlert,
    champion_alerts,
    source_alerts,
    stalled_run_alerts,
)
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry, Rejection
from logitrack_assets.eta.resources import ModelRegistryResource, MonitoringPolicy
from logitrack_assets.materializations import VERSION, RecordedMaterializations
from logitrack_assets.resources import AlertError, AlertWebhook, WarehouseResource
from logitrack_assets.trips.resources import TlcSource

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


def refused_candidate(instance: DagsterInstance, run_id: str, models: ModelRegistry) -> Rejection | None:
    """Return why the gates refused the candidate that a run trained; None when it trained none or none was refused."""
    trained = RecordedMaterializations(instance, run_id).own_texts("eta_model", VERSION)
    rejections = [models.rejection(version) for version in trained.values()]
    return next((rejection for rejection in rejections if rejection is not None), None)


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
    description="Reports failed runs and refused candidates to the log and to LOGITRACK_ALERT_WEBHOOK, once in 24 "
    "hours for the same problem.",
)
def alert_on_failure(
    context: RunFailureSensorContext, alerts: AlertWebhook, registry: ModelRegistryResource
) -> SkipReason | None:
    """Report a failed run unless its problem was reported in the last 24 hours.

    A refused candidate fails the run that trained it. The alert then has the reason of the gates.
    """
    job, (step, error) = context.dagster_run.job_name, _failed_step(context)
    rejection = refused_candidate(context.instance, context.dagster_run.run_id, registry.open())
    if rejection is not None:
        text = f"the candidate {rejection.version} was refused: {rejection.reason}"
        problem = f"candidate refused / {rejection.version}"
    else:
        text = f"{job} failed at {step or 'its start'}: {error.strip()}"
        problem = problem_key(job, step, error)
    if not report(context.instance, alerts, context.log, problem, text, context.dagster_run.run_id):
        return SkipReason("The same problem was reported in the last 24 hours.")
    return None


@sensor(
    name="alert_on_conditions",
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Reports drift, a live error above the test error, live correction that was switched off, a source "
    "that has not answered for a day, and stalled runs; once in 24 hours for the same problem.",
)
def alert_on_conditions(
    context: SensorEvaluationContext,
    alerts: AlertWebhook,
    registry: ModelRegistryResource,
    warehouse: WarehouseResource,
    source: TlcSource,
    policy: MonitoringPolicy,
) -> SkipReason:
    """Report every condition that was not reported in the last 24 hours."""
    instance, now = context.instance, datetime.now(UTC)
    conditions: dict[str, Callable[[], list[ConditionAlert]]] = {
        "source": lambda: source_alerts(instance, source.base_url, now),
        "runs": lambda: stalled_run_alerts(instance, now),
        "champion": lambda: champion_alerts(
            instance, registry.open(), warehouse.open(), worse_by=policy.live_error_worse_by
        ),
    }
    present: list[ConditionAlert] = []
    for name, find in conditions.items():
        try:
            present += find()
        except LogitrackError as error:  # such as a database that does not answer; the other conditions are reported
            context.log.error(f"The condition of the {name} is unknown: {error}")
    reported = [
        alert for alert in present if report(instance, alerts, context.log, alert.problem, alert.text, alert.run_id)
    ]
    return SkipReason(f"{len(present)} conditions, {len(reported)} of them not reported before.")


def report(
    instance: DagsterInstance, alerts: AlertWebhook, log: logging.Logger, problem: str, text: str, run_id: str | None
) -> bool:
    """Log and post a problem unless it was reported in the last 24 hours; return whether it was due.

    Args:
        instance: Where reported problems are remembered.
        alerts: The webhook.
        log: Receives the text, and why the webhook did not accept it.
        problem: Equal for equal problems.
        text: What happened.
        run_id: The run that shows it; None links the list of runs.
    """
    now = datetime.now(UTC)
    if not should_notify(instance, problem, now):
        return False
    message = f"logitrack: {text} {alerts.run_link(run_id)}"
    log.error(message)
    try:
        alerts.post(message)
    except AlertError as failure:  # not recorded, so that the next evaluation posts it
        log.error(str(failure))
    else:
        record_alert(instance, problem, now)
    return True
