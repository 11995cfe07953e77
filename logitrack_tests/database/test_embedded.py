"""The embedded PostgreSQL is shared by processes, stopped by the last one, and restarted after a crash."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from logitrack_assets.database import DatabaseError, database_url
from logitrack_assets.settings import Settings

USER = """
import sys, time
from pathlib import Path
from logitrack_assets.database import database_url, wait_for_database
from logitrack_assets.settings import Settings
wait_for_database(database_url(Settings(home=Path(sys.argv[1]), database_url=None)))
print("ready", flush=True)
sys.stdin.readline()
"""


def _start_user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _postmaster(home: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return process if process.status() != psutil.STATUS_ZOMBIE else None


def _wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_two_processes_share_one_server_and_the_last_stops_it(tmp_path: Path) -> None:
    first, second = _start_user(tmp_path), _start_user(tmp_path)  # both start at once, on a folder that does not exist
    _wait_ready(first)
    _wait_ready(second)
    server = _postmaster(tmp_path)
    assert server is not None
    first.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) == server, "the first process to exit must not stop it"
    second.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) is None


def test_killed_process_does_not_keep_the_server_running(tmp_path: Path) -> None:
    killed, last = _start_user(tmp_path), _start_user(tmp_path)
    _wait_ready(killed)
    _wait_ready(last)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    last.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) is None


def test_server_recovers_after_all_processes_are_killed(tmp_path: Path) -> None:
    process = _start_user(tmp_path)
    _wait_ready(process)
    server = _postmaster(tmp_path)
    assert server is not None
    for victim in [server, *server.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    process.kill()
    process.communicate(timeout=10)
    again = _start_user(tmp_path)
    _wait_ready(again)
    again.communicate("\n", timeout=30)


@pytest.mark.parametrize("left", ["", "{other}\n", "{other}\n/x\n1\n5432\n{folder}\n\n1 2\nready\n"])
def test_stale_pid_of_another_process_is_not_the_server(tmp_path: Path, left: str) -> None:
    first = _start_user(tmp_path)
    _wait_ready(first)
    first.communicate("\n", timeout=30)
    other = subprocess.Popen(["sleep", "60"])
    (tmp_path / "postgres" / "postmaster.pid").write_text(left.format(other=other.pid, folder=tmp_path / "postgres"))
    try:
        again = _start_user(tmp_path)
        _wait_ready(again)
        again.communicate("\n", timeout=30)
    finally:
        other.kill()
        other.wait()


def test_socket_is_restricted_to_its_owner(postgres: str) -> None:
    engine = create_engine(postgres)
    with engine.connect() as connection:
        assert connection.execute(text("show unix_socket_permissions")).scalar_one() == "0700"
        assert connection.execute(text("show listen_addresses")).scalar_one() == ""
    engine.dispose()


def test_invalid_data_folder_raises_database_error(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseError, match="does not start"):
        database_url(Settings(home=tmp_path, database_url=None))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of other processes exist on Linux only")
def test_memory_of_a_backend_is_limited(postgres: str) -> None:
    engine = create_engine(postgres)
    for statement in (
        "select length(repeat('x', 800000000))",
        "select length(string_agg(repeat('x', 100000), '')) from generate_series(1, 9000)",
    ):
        with engine.connect() as connection, pytest.raises(OperationalError, match="out of memory"):
            connection.execute(text(statement))
    with engine.connect() as connection:
        assert connection.scalar(text("select length(repeat('x', 50000000))")) == 50_000_000
    engine.dispose()


def test_home_is_closed_to_other_users(tmp_path: Path) -> None:
    """As root the folders above the data are passable, for the server's own user, and not readable."""
    above = tmp_path / "above"
    above.mkdir(mode=0o700)
    process = _start_user(above / "home")
    _wait_ready(process)
    process.communicate("\n", timeout=30)
    expected = 0o711 if os.geteuid() == 0 else 0o700
    assert [path.stat().st_mode & 0o777 for path in (above, above / "home")] == [expected, expected]
    assert (above / "home" / "postgres").stat().st_mode & 0o777 == 0o700
