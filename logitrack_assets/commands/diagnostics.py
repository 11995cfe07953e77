"""Diagnostics of `logitrack doctor`: each returns what it found or raises an error with a hint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from logitrack_assets.commands.requirements import require_free_port, stack_source_url
from logitrack_assets.database import database_url, wait_for_database
from logitrack_assets.database.migrate import has_pending_migrations
from logitrack_assets.errors import LogitrackError
from logitrack_assets.home import read_instance_id
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_assets.settings import Settings
from logitrack_assets.trips.source import Source, SourceError

if TYPE_CHECKING:
    from dagster import DagsterInstance

WORKER_MEMORY_BYTES = 2**30
"""Memory of Spark's Python workers, besides the driver's JVM."""

HTTP_TIMEOUT_SECONDS = 2.0
SOURCE_TIMEOUT_SECONDS = 5.0
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def diagnose_memory(settings: Settings) -> str:
    """Return the available memory.

    Raises:
        LogitrackError: Spark and its workers need more.
    """
    driver = int(settings.spark_driver_memory[:-1]) * _UNITS[settings.spark_driver_memory[-1].lower()]
    needed = driver + WORKER_MEMORY_BYTES
    available = psutil.virtual_memory().available
    if available < needed:
        raise LogitrackError(
            f"{available / 2**30:.1f} GiB are available, Spark and its workers need {needed / 2**30:.1f}.",
            hint="Close other programs, or lower LOGITRACK_SPARK_DRIVER_MEMORY.",
        )
    return f"{available / 2**30:.1f} GiB available"


def diagnose_service_port(settings: Settings) -> str:
    """Return that the port is free, or that the service of this home answers on it.

    Raises:
        LogitrackError: Another program or the service of another home answers, or this service is not ready.
    """
    host, port, setting = settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT"
    url = _server_url(host, port)
    live = _get_json(f"{url}/health/live")
    if live is None:
        require_free_port(host, port, setting)
        return f"{host}:{port} is free"
    if live.get("instance") is None or live["instance"] != read_instance_id(settings.home):
        raise LogitrackError(
            f"{url} answers, but it is not the service of {settings.home}.",
            hint=f"End what runs there, or set {setting} to another port.",
        )
    ready = _get_json(f"{url}/health/ready") or {"status": "failed"}
    if ready["status"] != "ok":
        reasons = [str(check["reason"]) for check in ready.get("checks", {}).values() if check.get("reason")]
        raise LogitrackError(
            f"{url} is logitrack, running, and {ready['status']}: {' '.join(reasons) or 'no readiness answer.'}",
            hint=f"See {settings.home / 'logs' / 'service.log'}.",
        )
    return f"{url} is logitrack, running on this home"


def diagnose_dagster_port(settings: Settings) -> str:
    """Return that the port is free, or that Dagster's UI of this home answers on it.

    Raises:
        LogitrackError: Another program or the UI of another home answers.
    """
    host, port, setting = settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT"
    url = _server_url(host, port)
    if _get_json(f"{url}/server_info") is None:
        require_free_port(host, port, setting)
        return f"{host}:{port} is free"
    # The description of the instance has the path of its DAGSTER_HOME.
    if str(settings.home / "dagster") not in _instance_description(url):
        raise LogitrackError(
            f"{url} answers, but it is not the Dagster UI of {settings.home}.",
            hint=f"End what runs there, or set {setting} to another port.",
        )
    return f"{url} is logitrack, running on this home"


def diagnose_database(settings: Settings) -> str:
    """Return version and state of PostgreSQL.

    Raises:
        LogitrackError: It does not answer or cannot be used.
    """
    url = database_url(settings)
    wait_for_database(url, seconds=3)
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
            pending = has_pending_migrations(connection)
    except SQLAlchemyError as error:
        raise LogitrackError(
            f"PostgreSQL answers but cannot be used ({error}).", hint="Check the rights of its user."
        ) from None
    finally:
        engine.dispose()
    schema = "schema is migrated at the next start" if pending else "schema up to date"
    return f"PostgreSQL {version}, {'embedded' if settings.embedded else 'external'}, {schema}"


def diagnose_daemon(settings: Settings) -> str:
    """Return the state of Dagster's daemons; see `check_daemon`."""
    from logitrack_assets.platform_health import check_daemon

    with _dagster_instance(settings) as instance:
        return check_daemon(instance)


def diagnose_runs(settings: Settings) -> str:
    """Return how many runs are in progress; see `check_runs`."""
    from logitrack_assets.platform_health import check_runs

    with _dagster_instance(settings) as instance:
        return check_runs(instance, datetime.now(UTC))


def diagnose_spark_slots(settings: Settings) -> str:
    """Return how many runs may start Spark now; see `check_spark_slots`."""
    from logitrack_assets.platform_health import check_spark_slots

    with _dagster_instance(settings) as instance:
        return check_spark_slots(instance, settings)


def diagnose_lake(settings: Settings, now: datetime | None = None) -> str:
    """Return the months in the lake and the age of the newest.

    Args:
        settings: Of the installation.
        now: The present time; the clock's when None.

    Raises:
        LogitrackError: There is no month, or the source has the month after the newest.
    """
    months = Lake(settings.home).silver_months()
    if not months:
        raise LogitrackError("There is no month yet.", hint="Run `make up`, or `logitrack materialize --months …`.")
    present = Month.parse(f"{now or datetime.now(NEW_YORK):%Y-%m}")
    newest = Month.parse(months[-1])
    fact = f"{len(months)} months, the newest is {newest}, {present.number - newest.number} months old"
    if _is_published(settings, str(newest.next)):
        raise LogitrackError(
            f"{fact}; the source has {newest.next}.",
            hint=f"Look at its last run in Dagster, or run `logitrack materialize --months {newest.next}`.",
        )
    return fact


def diagnose_model(settings: Settings) -> str:
    """Return the champion, once it has been loaded.

    Raises:
        LogitrackError: There is no champion, or it cannot be loaded.
    """
    from logitrack_assets.commands.models import open_registry
    from logitrack_assets.eta.artifact import ArtifactError

    models = open_registry(settings)
    champion = models.champion()
    if champion is None:
        raise LogitrackError(
            "There is no champion yet.",
            hint="Run `make demo`, or `logitrack materialize --months 2019-01:2019-12`.",
        )
    try:
        models.load(champion.version)
    except ArtifactError as error:
        raise LogitrackError(error.message, hint="Go back with `logitrack model rollback`.") from None
    return f"{champion.version}, champion since {champion.promoted_at}"


def _server_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _get_json(url: str) -> dict[str, Any] | None:
    """Return the JSON object that a server responds with, or None when it does not."""
    try:
        body = httpx2.get(url, timeout=HTTP_TIMEOUT_SECONDS).json()
    except (httpx2.HTTPError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _instance_description(url: str) -> str:
    """Return the description of a Dagster instance from its UI's GraphQL; empty when it gives none."""
    try:
        response = httpx2.post(
            f"{url}/graphql", json={"query": "query Instance { instance { info } }"}, timeout=HTTP_TIMEOUT_SECONDS * 5
        )
        return str(response.raise_for_status().json()["data"]["instance"]["info"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ""


def _is_published(settings: Settings, month: str) -> bool:
    """Return whether the source has a file of a month; False when it does not answer, which has its own diagnostic."""
    source = Source(
        stack_source_url(settings), attempts=1, timeout_seconds=SOURCE_TIMEOUT_SECONDS, report=lambda _: None
    )
    try:
        return any(source.probe(fleet, month) is not None for fleet in settings.fleets)
    except SourceError:
        return False


@contextmanager
def _dagster_instance(settings: Settings) -> Iterator[DagsterInstance]:
    # Imported here: Dagster takes more than a second.
    from dagster import DagsterInstance

    from logitrack_assets.instance import dagster_environment

    os.environ.update(dagster_environment(settings))
    with DagsterInstance.get() as instance:
        yield instance
