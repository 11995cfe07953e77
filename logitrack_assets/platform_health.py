"""Health of the platform: Dagster's daemon and runs, the slots of Spark, the newest month.

Dagster's web UI answers `GET /health` with all parts; `logitrack doctor` reports the first three among others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from dagster import ConfigurableResource, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._daemon.controller import get_daemon_statuses
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.run_workers import IN_PROGRESS_STATUSES, active_runs, orphaned_runs, stalled_runs
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark_slots import free_spark_slots
from logitrack_assets.trips.freshness import month_age

SHORT_ID = 8
"""Characters of a run's id by which Dagster's UI shows it."""


@dataclass(frozen=True)
class PartHealth:
    """State of one part of the platform.

    Attributes:
        status: `ok`; `degraded` when someone should look; `failed` when no run starts.
        fact: What was found.
        hint: One thing to do unless it is `ok`.
    """

    status: Literal["ok", "degraded", "failed"]
    fact: str
    hint: str | None = None


def check_daemon(instance: DagsterInstance) -> str:
    """Return that Dagster's daemons are alive, or were never started.

    Raises:
        LogitrackError: A daemon has no recent heartbeat.
    """
    statuses = get_daemon_statuses(instance, instance.get_required_daemon_types())
    if not any(status.last_heartbeat for status in statuses.values()):
        return "never started here"
    missing = sorted(kind.lower() for kind, status in statuses.items() if not status.healthy)
    if missing:
        raise LogitrackError(
            f"No heartbeat of {', '.join(missing)}.",
            hint="Start `logitrack up`, or the daemon service of compose.yaml.",
        )
    return "all heartbeats are recent"


def check_runs(instance: DagsterInstance, now: datetime) -> str:
    """Return how many runs are in progress.

    Args:
        instance: Where the runs are recorded.
        now: The present time, with a time zone.

    Raises:
        LogitrackError: A run is orphaned or stalled; the message names it.
    """
    if orphaned := orphaned_runs(instance):
        raise LogitrackError(
            f"Orphaned: the process of {', '.join(map(_run_name, orphaned))} is gone; later runs wait for it.",
            hint="A running daemon ends such a run within a minute; the next `logitrack up` does so at its start.",
        )
    if stalled := stalled_runs(instance, now):
        raise LogitrackError(
            f"Stalled: {'; '.join(f'{run.text} ({run.run.run_id[:SHORT_ID]})' for run in stalled)}.",
            hint="Look at its events in Dagster's UI, and cancel it there if it does not go on.",
        )
    return f"{len(active_runs(instance))} in progress, none orphaned or stalled"


def check_spark_slots(instance: DagsterInstance, settings: Settings) -> str:
    """Return how many runs may start Spark now, and how many runs there are.

    Raises:
        LogitrackError: Every slot is taken, and no run is in progress that could have taken it.
    """
    queued = instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
    in_progress = instance.get_runs_count(RunsFilter(statuses=IN_PROGRESS_STATUSES))
    free = free_spark_slots(settings.home, settings.spark_runs)
    if free == 0 and in_progress == 0:
        raise LogitrackError(
            f"{settings.spark_runs} of {settings.spark_runs} are taken, but no run is in progress.",
            hint="End the process that an earlier run left: it holds a file spark.*.lock in the home folder.",
        )
    return f"{free} of {settings.spark_runs} free, {in_progress} runs in progress, {queued} queued"


def check_newest_month(settings: Settings, today: date) -> str:
    """Return the newest month in the lake; of a source that is a server, also how long ago it was due.

    Raises:
        LogitrackError: There is no month, or the source is a server and the next month is late.
    """
    months = Lake(settings.home).silver_months()
    if not months:
        raise LogitrackError("There is no month yet.", hint="Run `logitrack materialize --months …`.")
    if not settings.source_url.startswith(("http://", "https://")):
        return f"The newest of {len(months)} months is {months[-1]}; the source is a folder."
    age = month_age(months[-1], today)
    if not age.passed:
        raise LogitrackError(age.text, hint="Look at the sensor `ingest_published_months` in Dagster's UI.")
    return age.text


class PlatformResource(ConfigurableResource[Any]):
    """The health of this installation, for sensors."""

    def parts(self, instance: DagsterInstance, now: datetime) -> dict[str, dict[str, Any]]:
        """Return `status`, `fact` and `hint` by part of the platform."""
        parts: dict[str, dict[str, Any]] = platform_health(instance, get_settings(), now)["checks"]
        return parts


def platform_health(instance: DagsterInstance, settings: Settings, now: datetime | None = None) -> dict[str, Any]:
    """Return the state of every part and the worst of them, as JSON values.

    Args:
        instance: Where runs and heartbeats are recorded.
        settings: Of the installation.
        now: The present time, with a time zone; the clock's when None.
    """
    at = now or datetime.now(UTC)
    parts = {
        "daemon": _part_health(lambda: check_daemon(instance), "failed"),
        "runs": _part_health(lambda: check_runs(instance, at), "degraded"),
        "spark_slots": _part_health(lambda: check_spark_slots(instance, settings), "degraded"),
        "newest_month": _part_health(lambda: check_newest_month(settings, at.date()), "degraded"),
    }
    states = {part.status for part in parts.values()}
    status = "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
    return {"status": status, "checks": {name: asdict(part) for name, part in parts.items()}}


def _part_health(check: Callable[[], str], otherwise: Literal["degraded", "failed"]) -> PartHealth:
    try:
        return PartHealth("ok", check())
    except LogitrackError as error:
        return PartHealth(otherwise, error.message, error.hint)
    except (SQLAlchemyError, DagsterPostgresException) as error:
        return PartHealth("failed", f"PostgreSQL does not respond ({type(error).__name__}).", "Run `logitrack doctor`.")


def _run_name(run: DagsterRun) -> str:
    return f"{run.run_id[:SHORT_ID]} of {run.job_name}"
