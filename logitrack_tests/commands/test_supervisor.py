"""Child processes end with their supervisor, and a home folder has one running instance."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from logitrack_assets.commands.supervisor import ProcessSupervisor, single_instance
from logitrack_assets.errors import LogitrackError

# A child that ignores SIGINT and SIGTERM and has a child of its own.
STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


def test_stop_kills_children_and_grandchildren(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path)
    supervisor.start("stubborn", [sys.executable, "-c", STUBBORN], os.environ)
    deadline = time.monotonic() + 20
    while not (tmp_path / "stubborn.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    family = psutil.Process().children(recursive=True)
    started = [process for process in family if "time.sleep(600)" in " ".join(process.cmdline())]
    assert len(started) == 2
    supervisor.stop(timeout_seconds=0.5)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


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
