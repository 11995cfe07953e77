"""Child processes that end with this process, and the lock against a second `up` on one home folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from logitrack_assets.errors import LogitrackError

LAST_LOG_LINES = 3


@contextmanager
def single_instance(home: Path, command: str) -> Iterator[None]:
    """Hold the home folder for one `up` or `demo`.

    Raises:
        LogitrackError: Another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LogitrackError(
                f"logitrack is already running on {home} ({lock.read().strip()}).",
                hint="Use that one, end it with Ctrl-C, or set LOGITRACK_HOME to another folder.",
            ) from None
        lock.truncate(0)
        lock.write(f"{command}, process {os.getpid()}")
        lock.flush()
        yield


class ProcessSupervisor:
    """Child processes, each in a process group of its own and with a log file.

    Args:
        logs: Folder of the log files.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a command whose output goes to `<logs>/<name>.log`."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches this process only, which ends its children in order
            )

    def run(self, command: Sequence[str], environment: Mapping[str, str], error: str) -> None:
        """Run a command to its end; its output goes to this terminal.

        Raises:
            LogitrackError: It failed; the message begins with `error`.
        """
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(environment), start_new_session=True)
        self._running[error] = process
        code = process.wait()
        del self._running[error]
        if code != 0:
            raise LogitrackError(f"{error} (exit code {code}).", hint="The reason is in the output above.")

    def check(self) -> None:
        """Return when every process runs.

        Raises:
            LogitrackError: One has ended; the message has the last lines of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                last = log.read_text(errors="replace").strip().splitlines()[-LAST_LOG_LINES:]
                raise LogitrackError(
                    f"{name} ended with exit code {process.returncode}. Last lines: {' / '.join(last) or 'none'}.",
                    hint=f"See {log}.",
                )

    def stop(self, timeout_seconds: float = 20) -> None:
        """End every process by SIGINT, then SIGTERM, and kill what is left of its process group."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + timeout_seconds
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.terminate()
        for process in self._running.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()
        self._running.clear()
