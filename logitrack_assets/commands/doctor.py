"""`logitrack doctor`: one diagnostic for each part of an installation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import psutil
from rich.console import Console
from rich.markup import escape
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from logitrack_assets.commands.requirements import require_disk, require_free_port, require_java, require_source
from logitrack_assets.database import database_url, wait_for_database
from logitrack_assets.database.migrate import has_pending_migrations
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings

WORKER_MEMORY_BYTES = 2**30
"""Memory of Spark's Python workers, besides the driver's JVM."""

PART_WIDTH = 15
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True)
class Diagnostic:
    """The state of one part of the installation.

    Attributes:
        part: Name of the part.
        ok: Whether it works.
        fact: What was found.
        hint: One thing to do where it does not work.
    """

    part: str
    ok: bool
    fact: str
    hint: str | None = None


def run_diagnostics(settings: Settings) -> Iterator[Diagnostic]:
    """Yield the diagnostic of one part after the other, each as soon as it is known."""
    checks: dict[str, Callable[[], str]] = {
        "Java": require_java,
        "memory": lambda: _check_memory(settings),
        "disk": lambda: require_disk(settings.home),
        "service port": lambda: _check_port(settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT"),
        "Dagster port": lambda: _check_port(settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT"),
        "database": lambda: _check_database(settings),
        "Dagster daemon": lambda: _check_daemon(settings),
        "Dagster runs": lambda: _check_runs(settings),
        "data source": lambda: require_source(settings),
        "model": lambda: _check_model(settings),
    }
    for part, check in checks.items():
        try:
            yield Diagnostic(part, True, check())
        except LogitrackError as error:
            yield Diagnostic(part, False, error.message, error.hint)


def print_diagnostics(settings: Settings, console: Console) -> bool:
    """Print the diagnostics as a table, row by row; return whether every part works."""
    all_ok = True
    for diagnostic in run_diagnostics(settings):
        all_ok &= diagnostic.ok
        sign = "[green]✓[/]" if diagnostic.ok else "[red]✗[/]"
        console.print(
            f"{sign} {diagnostic.part:<{PART_WIDTH}} {escape(diagnostic.fact)}", highlight=False, soft_wrap=True
        )
        if diagnostic.hint:
            console.print(f"  {'':<{PART_WIDTH}} → {escape(diagnostic.hint)}", highlight=False, soft_wrap=True)
    return all_ok


def _check_memory(settings: Settings) -> str:
    driver = int(settings.spark_driver_memory[:-1]) * _UNITS[settings.spark_driver_memory[-1].lower()]
    needed = driver + WORKER_MEMORY_BYTES
    available = psutil.virtual_memory().available
    if available < needed:
        raise LogitrackError(
            f"{available / 2**30:.1f} GiB are available, Spark and its workers need {needed / 2**30:.1f}.",
            hint="Close other programs, or lower LOGITRACK_SPARK_DRIVER_MEMORY.",
        )
    return f"{available / 2**30:.1f} GiB available"


def _check_port(host: str, port: int, setting: str) -> str:
    url = f"http://{host}:{port}"
    for path in ("/health/live", "/server_info"):  # of the service and of Dagster
        try:
            if httpx2.get(url + path, timeout=2).status_code == 200:
                return f"{url} is logitrack, running"
        except httpx2.HTTPError:
            break
    require_free_port(host, port, setting)
    return f"{host}:{port} is free"


def _check_database(settings: Settings) -> str:
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


def _check_daemon(settings: Settings) -> str:
    # Imported here: Dagster takes more than a second.
    from dagster import DagsterInstance
    from dagster._daemon.controller import get_daemon_statuses

    from logitrack_assets.instance import dagster_environment

    os.environ.update(dagster_environment(settings))
    with DagsterInstance.get() as instance:
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


def _check_runs(settings: Settings) -> str:
    # Imported here: Dagster takes more than a second.
    from dagster import DagsterInstance

    from logitrack_assets.instance import dagster_environment
    from logitrack_assets.run_workers import active_runs, stuck_runs

    os.environ.update(dagster_environment(settings))
    with DagsterInstance.get() as instance:
        stuck, active = stuck_runs(instance), len(active_runs(instance))
    if stuck:
        named = ", ".join(f"{run.run_id[:8]} of {run.job_name}" for run in stuck)
        raise LogitrackError(
            f"The process of {named} is gone; later runs wait for it.",
            hint="A running daemon ends such a run within a minute; the next `logitrack up` does so at its start.",
        )
    return f"{active} in progress, none stuck"


def _check_model(settings: Settings) -> str:
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
