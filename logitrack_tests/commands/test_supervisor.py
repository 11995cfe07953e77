"""Child processes end with their supervisor, and a home folder has one running instance."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from logitrack_assets.commands.supervisor import ProcessSupervisor, single_instance
from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import write_json

# A child that ignores SIGINT and SIGTERM and has a child of its own.
STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


def _sleeps(process: psutil.Process) -> bool:
    try:
        return "time.sleep(600)" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # also a zombie, of another test
        return False


def test_stop_kills_children_and_grandchildren(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path)
    supervisor.start("stubborn", [sys.executable, "-c", STUBBORN], os.environ)
    deadline = time.monotonic() + 20
    while not (tmp_path / "logs" / "stubborn.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    started = [process for process in psutil.Process().children(recursive=True) if _sleeps(process)]
    assert len(started) == 2
    supervisor.stop(timeout_seconds=0.5)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "at once"])
def test_leftovers_of_a_killed_supervisor_are_ended(tmp_path: Path, orderly: bool) -> None:
    """Kill a supervisor; its child and grandchild, which left the process group, are ended by the next one.

    Only an orderly process sees a signal: a worker of Dagster would record it as the failure of its run.
    """
    note = tmp_path / "terminated"
    child = (
        "import os, pathlib, signal, subprocess, sys, time; "
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(note)!r}).touch(), os._exit(0))); "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0); time.sleep(600)"
    )
    code = (
        "import os, sys, time; from pathlib import Path; "
        "from logitrack_assets.commands.supervisor import ProcessSupervisor; "
        f"ProcessSupervisor(Path({str(tmp_path)!r})).start('worker', [sys.executable, '-c', {child!r}], os.environ); "
        "time.sleep(600)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    family: list[psutil.Process] = []
    while len(family) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        family = psutil.Process(killed.pid).children(recursive=True)
    assert len(family) == 2
    killed.kill()
    killed.wait()
    assert all(process.is_running() for process in family)

    assert ProcessSupervisor(tmp_path).end_leftovers(orderly=["worker"] if orderly else []) == ["worker"]

    assert note.exists() == orderly
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert ProcessSupervisor(tmp_path).end_leftovers() == []


def test_leftover_that_was_started_last_sees_no_other_end(tmp_path: Path) -> None:
    """Dagster's daemon would fail a run whose worker it finds gone, and `up` would not resume it."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    note = tmp_path / "seen"
    watch = (
        "import pathlib, psutil, sys; print('watching', flush=True); "
        f"psutil.wait_procs([psutil.Process({worker.pid})]); pathlib.Path({str(note)!r}).touch()"
    )
    daemon = subprocess.Popen([sys.executable, "-c", watch], start_new_session=True, stdout=subprocess.PIPE)
    try:
        assert daemon.stdout is not None
        with daemon.stdout:
            assert daemon.stdout.readline() == b"watching\n"
        recorded = [
            {"name": name, "number": process.pid, "started": psutil.Process(process.pid).create_time()}
            for name, process in (("worker", worker), ("daemon", daemon))
        ]
        write_json(tmp_path / "processes.json", {"processes": recorded})
        assert ProcessSupervisor(tmp_path).end_leftovers() == ["worker", "daemon"]
        assert not note.exists()
    finally:
        for process in (worker, daemon):
            process.kill()
            process.wait()


def test_reused_process_number_is_not_killed(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        record = {"processes": [{"name": "service", "number": other.pid, "started": time.time() - 3600}]}
        write_json(tmp_path / "processes.json", record)
        assert ProcessSupervisor(tmp_path).end_leftovers() == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def _child_with_argument(argument: str) -> psutil.Process:
    """Return the child process whose last argument this is; numbers of processes are in no order once they wrap."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.cmdline()[-1:] == [argument]:
                return child
    raise AssertionError(f"no child process has the argument {argument}")


def test_one_process_is_stopped_and_the_others_run_on(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path)
    for name in ("first", "second"):
        supervisor.start(name, [sys.executable, "-c", "import time; time.sleep(600)", name], os.environ)
    first, second = (_child_with_argument(name) for name in ("first", "second"))
    supervisor.stop_one("first")
    assert not first.is_running()
    assert second.is_running()
    supervisor.check()
    supervisor.stop()
    assert not second.is_running()


def test_ended_child_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path)
    supervisor.start("brief", [sys.executable, "-c", "print('no room'); raise SystemExit(3)"], os.environ)
    with pytest.raises(LogitrackError, match=r"brief ended with exit code 3.*no room"):
        _check_for(supervisor, seconds=20)


def _check_for(supervisor: ProcessSupervisor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        supervisor.check()
        time.sleep(0.05)


def test_second_instance_is_refused_with_the_first_one_named(tmp_path: Path) -> None:
    refused = pytest.raises(LogitrackError, match=f"already running.*up, process {os.getpid()}")
    with single_instance(tmp_path, "up"), refused, single_instance(tmp_path, "demo"):
        pass
    with single_instance(tmp_path, "demo"):  # free again
        assert (tmp_path / "running.lock").read_text().startswith("demo")


def test_logs_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Also those that an earlier version left open to others."""
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    (logs / "brief.log").write_text("earlier")
    supervisor = ProcessSupervisor(tmp_path)
    for name in ("brief", "other"):
        supervisor.start(name, [sys.executable, "-c", ""], os.environ)
    supervisor.stop(timeout_seconds=10)
    assert logs.stat().st_mode & 0o066 == 0
    assert [path.stat().st_mode & 0o777 for path in sorted(logs.iterdir())] == [0o600, 0o600]
