"""The service as it runs in production: a supervisor process, worker processes and a port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

PASSWORD = "correct horse battery staple 7"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@dataclass
class RunningService:
    """A running service process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes; the supervisor also has Python's resource tracker as a child."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # raised for zombies as well
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def starts(self) -> int:
        """Return how often a worker has started and can serve."""
        return self.log.read_text().count('"event":"service_started"')

    def wait_until_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/health/ready", timeout=2).json()["status"] == "ok":
                    return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def user(self, username: str) -> dict[str, str]:
        """Register a user and return the authorization header."""
        login = {"username": username, "password": PASSWORD}
        assert httpx2.post(f"{self.url}/register", json=login).status_code == 201
        token = httpx2.post(f"{self.url}/token", data=login).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextlib.contextmanager
def running(home: Path, *, workers: int, port: int | None = None, **settings: str) -> Iterator[RunningService]:
    """Run `python -m logitrack_service` until the block ends.

    Args:
        home: the value of `LOGITRACK_HOME`.
        workers: number of worker processes.
        port: the port to listen on; a free one if omitted.
        settings: further settings without the prefix `LOGITRACK_`, in lower case.
    """
    port = port or free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGITRACK_")}
    environment |= {
        "LOGITRACK_HOME": str(home),
        "LOGITRACK_SERVICE_PORT": str(port),
        "LOGITRACK_SERVICE_WORKERS": str(workers),
        **{f"LOGITRACK_{name.upper()}": value for name, value in settings.items()},
    }
    log = home / "service.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "logitrack_service"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    service = RunningService(process, f"http://127.0.0.1:{port}", log)
    try:
        service.wait_until_ready()
        yield service
    finally:
        if process.poll() is None:
            try:
                service.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
