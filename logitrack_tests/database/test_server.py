"""The embedded PostgreSQL: shared by processes, stopped by the last, safe to ask for twice at once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from logitrack_assets.database import DatabaseError, database_url, driver_url, wait_for_database
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


def _user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _postmaster(home: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return process if process.status() != psutil.STATUS_ZOMBIE else None


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_two_processes_share_it_and_the_last_stops_it(tmp_path: Path) -> None:
    first, second = _user(tmp_path), _user(tmp_path)  # both start at once, on a folder that is not there yet
    _ready(first)
    _ready(second)
    server = _postmaster(tmp_path)
    assert server is not None
    first.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) == server, "the first to leave must not stop it"
    second.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) is None


def test_a_killed_user_does_not_keep_it_forever(tmp_path: Path) -> None:
    killed, last = _user(tmp_path), _user(tmp_path)
    _ready(killed)
    _ready(last)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    last.communicate("\n", timeout=30)
    assert _postmaster(tmp_path) is None


def test_it_comes_back_after_a_power_cut(tmp_path: Path) -> None:
    process = _user(tmp_path)
    _ready(process)
    server = _postmaster(tmp_path)
    assert server is not None
    for part in [server, *server.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            part.kill()
    process.kill()
    process.communicate(timeout=10)
    again = _user(tmp_path)
    _ready(again)
    again.communicate("\n", timeout=30)


@pytest.mark.parametrize("left", ["", "{other}\n", "{other}\n/x\n1\n5432\n{folder}\n\n1 2\nready\n"])
def test_a_number_that_now_belongs_to_another_process_is_no_server(tmp_path: Path, left: str) -> None:
    first = _user(tmp_path)
    _ready(first)
    first.communicate("\n", timeout=30)
    other = subprocess.Popen(["sleep", "60"])
    (tmp_path / "postgres" / "postmaster.pid").write_text(left.format(other=other.pid, folder=tmp_path / "postgres"))
    try:
        again = _user(tmp_path)
        _ready(again)
        again.communicate("\n", timeout=30)
    finally:
        other.kill()
        other.wait()


def test_only_the_owner_reaches_the_socket(postgres: str) -> None:
    engine = create_engine(postgres)
    with engine.connect() as connection:
        assert connection.execute(text("show unix_socket_permissions")).scalar_one() == "0700"
        assert connection.execute(text("show listen_addresses")).scalar_one() == ""
    engine.dispose()


def test_a_folder_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseError, match="does not start"):
        database_url(Settings(home=tmp_path, database_url=None))


@pytest.mark.parametrize("given", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"])
def test_any_postgresql_address_gets_our_driver(given: str) -> None:
    assert driver_url(given, "psycopg") == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize("given", ["mysql://u:p@h/d", "sqlite:///x", "no address"])
def test_another_database_is_refused_in_words(given: str) -> None:
    with pytest.raises(DatabaseError, match="LOGITRACK_DATABASE_URL"):
        driver_url(given, "psycopg")


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    settings = Settings(database_url=SecretStr("postgresql://me:hush-hush@127.0.0.1:9/trips"))
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:9/trips does not answer") as caught:
        wait_for_database(database_url(settings), seconds=0.5)
    assert "hush-hush" not in str(caught.value)
