"""ProcessSupervisor end with us, and one home folder has one `up`."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from logitrack_assets.commands.supervisor import ProcessSupervisor, require_free_port, single_instance
from logitrack_assets.errors import LogitrackError

# A child that ignores polite requests and has a child of its own.
STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


def test_stop_leaves_nobody_not_even_a_grandchild(tmp_path: Path) -> None:
    children = ProcessSupervisor(tmp_path)
    children.start("stubborn", [sys.executable, "-c", STUBBORN], os.environ)
    deadline = time.monotonic() + 20
    while not (tmp_path / "stubborn.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    family = psutil.Process().children(recursive=True)
    ours = [process for process in family if "time.sleep(600)" in " ".join(process.cmdline())]
    assert len(ours) == 2
    children.stop(patience_seconds=0.5)
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    children = ProcessSupervisor(tmp_path)
    children.start("brief", [sys.executable, "-c", "print('no room'); raise SystemExit(3)"], os.environ)
    with pytest.raises(LogitrackError, match=r"brief ended by itself with exit code 3.*no room"):
        _check_for(children, seconds=20)


def _check_for(children: ProcessSupervisor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        children.check()
        time.sleep(0.05)


def test_a_second_one_is_told_about_the_first(tmp_path: Path) -> None:
    told = pytest.raises(LogitrackError, match=f"already running.*up, process {os.getpid()}")
    with single_instance(tmp_path, "up"), told, single_instance(tmp_path, "demo"):
        pass
    with single_instance(tmp_path, "demo"):  # free again
        assert (tmp_path / "running.lock").read_text().startswith("demo")


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LogitrackError, match=f"Port {port} .* LOGITRACK_SERVICE_PORT"):
            require_free_port("127.0.0.1", port, "LOGITRACK_SERVICE_PORT")
    require_free_port("127.0.0.1", port, "LOGITRACK_SERVICE_PORT")
