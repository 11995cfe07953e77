"""Child processes that end with us, and the lock that keeps a second `up` from starting beside a first."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from logitrack_assets.errors import LogitrackError


@contextmanager
def single_instance(home: Path, what: str) -> Iterator[None]:
    """Holds the home folder for one `up` or `demo`.

    Raises:
        LogitrackError: another one holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LogitrackError(
                f"logitrack is already running on {home} ({lock.read().strip()}): "
                "use that one, end it with Ctrl-C, or set LOGITRACK_HOME to another folder."
            ) from None
        lock.truncate(0)
        lock.write(f"{what}, process {os.getpid()}")
        lock.flush()
        yield


def require_free_port(host: str, port: int, setting: str) -> None:
    """Checks that a server of ours could listen there.

    Raises:
        LogitrackError: somebody else does, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LogitrackError(
                f"Port {port} on {host} cannot be used ({error.strerror}): free it, or set {setting} to another."
            ) from None


class ProcessSupervisor:
    """Processes started here, each in a group of its own and with a log file; `stop` leaves none behind."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a command whose output goes to `<logs>/<name>.log`."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
            )

    def run(self, command: Sequence[str], environment: Mapping[str, str], failed: str) -> None:
        """Runs a command to its end, its output being ours.

        Raises:
            LogitrackError: it ended badly; `failed` says what that means.
        """
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(environment), start_new_session=True)
        self._running[failed] = process
        code = process.wait()
        del self._running[failed]
        if code != 0:
            raise LogitrackError(f"{failed} (exit code {code}): the reason stands above.")

    def check(self) -> None:
        """Checks that all are still there.

        Raises:
            LogitrackError: one has ended by itself; the message carries its last words.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise LogitrackError(
                    f"{name} ended by itself with exit code {process.returncode}; its log is {log}. "
                    f"Its last words: {' / '.join(last) or 'none'}"
                )

    def stop(self, patience_seconds: float = 20) -> None:
        """Asks each to end, waits, and kills whatever is left of its group."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + patience_seconds
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
