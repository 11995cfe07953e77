"""Child processes that end with this process, and the lock against a second `up` on one home folder.

The children are written down: when this process is killed, the next one on the home folder ends what it left.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import make_private_folder, read_json, write_json

LAST_LOG_LINES = 3
MAX_STOP_SECONDS = 20
LEFTOVER_SECONDS = 5
KILL_SECONDS = 10
MAX_CLOCK_STEP_SECONDS = 5
"""Start times are computed from the clock; a process that seems to have moved by more is another one."""


@contextmanager
def single_instance(home: Path, command: str) -> Iterator[None]:
    """Hold the home folder for one `up` or `demo`.

    Raises:
        LogitrackError: Another process holds it.
    """
    make_private_folder(home)
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
    """Child processes, each in a session of its own and with a log file.

    Args:
        home: Folder of the installation; logs go to `logs/`, the processes are listed in `processes.json`.
    """

    def __init__(self, home: Path) -> None:
        self._logs = home / "logs"
        self._record = home / "processes.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        make_private_folder(self._logs)

    def end_leftovers(self, orderly: Collection[str] = ()) -> list[str]:
        """Kill what a killed supervisor of this home folder left, and return the names of these processes.

        Args:
            orderly: Names of processes that get SIGTERM and `LEFTOVER_SECONDS` first, to store what they have queued.
                Others must not: a worker of Dagster would record the signal as a failure of its run.
        """
        recorded = [RecordedProcess(**row) for row in (read_json(self._record) or {}).get("processes", [])]
        left = [process for process in recorded if process.members()]
        _terminate_all([member for process in left if process.name in orderly for member in process.members()])
        # At once and the last started first: Dagster's daemon would fail a run whose worker it finds gone, and the run
        # would not count as ended with its stack.
        _kill_all([member for process in reversed(left) for member in process.members()])
        self._write_record()
        return [process.name for process in left]

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a command whose output goes to `<logs>/<name>.log`."""
        path = self._logs / f"{name}.log"
        with open(path, "ab", opener=lambda file, flags: os.open(file, flags, 0o600)) as log:
            path.chmod(0o600)  # a log of an earlier version may be readable by others
            self._spawn(name, command, environment, log)

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str], error: str) -> None:
        """Run a command to its end; its output goes to this terminal.

        Raises:
            LogitrackError: It failed; the message begins with `error`.
        """
        process = self._spawn(name, command, environment, None)
        code = process.wait()
        self._forget(name)
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

    def stop_one(self, name: str, timeout_seconds: float = MAX_STOP_SECONDS) -> None:
        """End one process, if it runs, as `stop` does."""
        if name in self._running:
            self._stop([name], timeout_seconds)

    def stop(self, timeout_seconds: float = MAX_STOP_SECONDS) -> None:
        """End every process by SIGINT, then SIGTERM, and kill what is left of its session."""
        self._stop(list(self._running), timeout_seconds)

    def _spawn(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT if log is not None else None,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C reaches this process only, which ends its children in order
        )
        self._running[name] = process
        self._write_record()
        return process

    def _stop(self, names: Sequence[str], timeout_seconds: float) -> None:
        processes = [self._running[name] for name in names]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + timeout_seconds
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.terminate()
        for process in processes:
            _kill_all(_session_members(process.pid))
            process.wait()
        for name in names:
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._running[name]
        self._write_record()

    def _write_record(self) -> None:
        started = (RecordedProcess.from_running(name, process.pid) for name, process in self._running.items())
        write_json(self._record, {"processes": [asdict(process) for process in started]})


@dataclass(frozen=True)
class RecordedProcess:
    """A child process as it was written down.

    Attributes:
        name: Name of the process.
        number: Its process number, which is also the number of its session.
        started: Start in seconds since 1970; None when it had ended before it was written down.
    """

    name: str
    number: int
    started: float | None

    @classmethod
    def from_running(cls, name: str, number: int) -> RecordedProcess:
        """Return the record of a process that was just started."""
        return cls(name, number, _start_time(number))

    def members(self) -> list[psutil.Process]:
        """Return the processes that are left of it: itself and the members of its session.

        A number in use as a session's is not given to a new process. Another start time therefore means that the
        whole session has ended and that the number was given again.
        """
        started = _start_time(self.number)
        if started is not None and (self.started is None or abs(started - self.started) > MAX_CLOCK_STEP_SECONDS):
            return []
        return _session_members(self.number)


def _start_time(number: int) -> float | None:
    try:
        return float(psutil.Process(number).create_time())
    except psutil.NoSuchProcess:
        return None


def _session_members(number: int) -> list[psutil.Process]:
    """Return the processes of a session. Spark's Python workers leave the process group, but not the session."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == number:
                members.append(process)
    return members


def _terminate_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=LEFTOVER_SECONDS)


def _kill_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=KILL_SECONDS)
