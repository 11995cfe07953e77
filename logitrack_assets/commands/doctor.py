"""What this machine has and lacks for logitrack, and how to mend it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from logitrack_assets.commands.supervisor import require_free_port
from logitrack_assets.database import database_url, wait_for_database
from logitrack_assets.database.migrate import pending
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings

MIN_JAVA_VERSION = 17  # what Spark 4 runs on
MIN_FREE_DISK_BYTES = 2 * 2**30
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True)
class Diagnostic:
    """One line of the doctor's screen: a fact, and the mend where it is not as it should be."""

    part: str
    fact: str
    hint: str | None = None

    @property
    def ok(self) -> bool:
        return self.hint is None


def require_java() -> str:
    """The version of Java that Spark would start.

    Raises:
        LogitrackError: there is none, or it is too old.
    """
    hint = (
        f"install Java {MIN_JAVA_VERSION} or newer (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
    )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME={home} has no bin/java" if home else "no java on the PATH"
        raise LogitrackError(f"Spark needs Java, and there is none ({where}): {hint}.")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LogitrackError(f"{java} does not run ({error}): {hint}.") from None
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', said)
    if found is None or int(found[1]) < MIN_JAVA_VERSION:
        version = found[0] if found else said.strip().splitlines()[:1]
        raise LogitrackError(f"Spark needs Java {MIN_JAVA_VERSION} or newer, {java} is {version}: {hint}.")
    return f"{java}, {found[0]}"


def require_disk(folder: Path, at_least: int = MIN_FREE_DISK_BYTES) -> str:
    """The free disk space at a folder that may not exist yet.

    Raises:
        LogitrackError: it is too little, or the place cannot be written.
    """
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        raise LogitrackError(f"{place} cannot be written: set LOGITRACK_HOME to a folder of yours.")
    free = shutil.disk_usage(place).free
    if free < at_least:
        raise LogitrackError(
            f"{free / 2**30:.1f} GiB are free at {place}, {at_least / 2**30:.0f} are needed: "
            "free some, or set LOGITRACK_HOME to another disk."
        )
    return f"{free / 2**30:.0f} GiB free at {place}"


def require_source(settings: Settings) -> str:
    """Where trip files come from, once it has answered.

    Raises:
        LogitrackError: the folder is not there or the server does not answer.
    """
    url = settings.source_url
    if url.startswith(("http://", "https://")):
        try:
            httpx.head(url, timeout=10, follow_redirects=True)
        except httpx.HTTPError as error:
            raise LogitrackError(
                f"{url} does not answer ({error or type(error).__name__}): check the network, or set LOGITRACK_TLC_URL "
                "to a mirror or a folder; `make demo` needs neither."
            ) from None
        return f"{url} answers"
    folder = Path(url.removeprefix("file://"))
    if not (folder / "trip-data").is_dir():
        raise LogitrackError(
            f"{folder} has no folder trip-data: set LOGITRACK_TLC_URL to a folder laid out as the TLC's."
        )
    return f"{folder}, {len(list((folder / 'trip-data').glob('*.parquet')))} files"


def run_diagnostics(settings: Settings) -> Iterator[Diagnostic]:
    """Looks at one part after the other; each finding comes as soon as it is known."""
    yield _diagnose("Java", require_java)
    yield _diagnose("memory", lambda: _memory(settings))
    yield _diagnose("disk", lambda: require_disk(settings.home))
    yield _diagnose(
        "service port", lambda: _port(settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT")
    )
    yield _diagnose(
        "Dagster port", lambda: _port(settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT")
    )
    yield _diagnose("database", lambda: _database(settings))
    yield _diagnose("Dagster daemon", lambda: _daemon(settings))
    yield _diagnose("data source", lambda: require_source(settings))
    yield _diagnose("model", lambda: _model(settings))


def _diagnose(part: str, look: Callable[[], str]) -> Diagnostic:
    try:
        return Diagnostic(part, look())
    except LogitrackError as error:
        fact, _, hint = str(error).rpartition(": ")
        return Diagnostic(part, fact, hint)


def _memory(settings: Settings) -> str:
    wanted = int(settings.spark_driver_memory[:-1]) * _UNITS[settings.spark_driver_memory[-1].lower()] + 2**30
    available = psutil.virtual_memory().available
    if available < wanted:
        raise LogitrackError(
            f"{available / 2**30:.1f} GiB are available, Spark and its workers want {wanted / 2**30:.1f}: "
            "close something, or set LOGITRACK_SPARK_DRIVER_MEMORY lower"
        )
    return f"{available / 2**30:.1f} GiB available"


def _port(host: str, port: int, setting: str) -> str:
    url = f"http://{host}:{port}"
    for path in ("/health/live", "/server_info"):  # ours, running: nothing to mend
        try:
            if httpx.get(url + path, timeout=2).status_code == 200:
                return f"{url} is logitrack, running"
        except httpx.HTTPError:
            break
    require_free_port(host, port, setting)
    return f"{host}:{port} is free"


def _database(settings: Settings) -> str:
    url = database_url(settings)
    wait_for_database(url, seconds=3)
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
            schema = "schema not made yet; the next start makes it" if pending(connection) else "schema up to date"
    except SQLAlchemyError as error:
        raise LogitrackError(f"PostgreSQL answers but cannot be used ({error}): check the rights of its user") from None
    finally:
        engine.dispose()
    return f"PostgreSQL {version}, {'embedded' if settings.embedded else 'external'}, {schema}"


def _daemon(settings: Settings) -> str:
    # Dagster takes over a second to import; only the doctor asks it this.
    from dagster import DagsterInstance
    from dagster._daemon.controller import get_daemon_statuses

    from logitrack_assets.instance import dagster_environment

    os.environ.update(dagster_environment(settings))
    with DagsterInstance.get() as instance:
        statuses = get_daemon_statuses(instance, instance.get_required_daemon_types())
        beating = [kind for kind, status in statuses.items() if status.healthy]
        missing = sorted(set(statuses) - set(beating))
        if not any(status.last_heartbeat for status in statuses.values()):
            return "never started here"
    if missing:
        raise LogitrackError(
            f"no heartbeat of {', '.join(missing).lower()}: start `logitrack up`, or the daemon service of compose.yaml"
        )
    return "all heartbeats are fresh"


def _model(settings: Settings) -> str:
    from logitrack_assets.eta.artifact import ArtifactError
    from logitrack_assets.eta.registry import ModelRegistry

    models = ModelRegistry(settings.home / "models")
    champion = models.champion()
    if champion is None:
        raise LogitrackError("no champion yet: run `make demo`, or `logitrack materialize --months 2019-01:2019-12`")
    try:
        models.load(champion.version)
    except ArtifactError as error:
        raise LogitrackError(f"{error}: go back with `logitrack model rollback`") from None
    return f"{champion.version}, champion since {champion.promoted_at}"
