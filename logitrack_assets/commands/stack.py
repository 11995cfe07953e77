"""`logitrack up`: PostgreSQL, Dagster and the service on one machine, ended together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
from rich.console import Console

from logitrack_assets.commands.models import open_registry
from logitrack_assets.commands.requirements import require_disk, require_free_port, require_java, stack_source_url
from logitrack_assets.commands.supervisor import ProcessSupervisor, single_instance
from logitrack_assets.database import migrated_database_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.home import load_or_create_instance_id, require_home
from logitrack_assets.instance import config_file, dagster_environment
from logitrack_assets.settings import JAVA_OPTIONS, Settings

FIRST_MONTHS = "2019-01:2019-12"
MAX_READY_SECONDS = 180
POLL_SECONDS = 0.4
FAST_START_OPTIONS = f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1"
"""JVM options for the small sample: optimised compilation would cost more time than it saves."""

_EXAMPLE = """\
curl -s {url}/register --json '{{"username": "ada", "password": "a long ride uptown"}}'
TOKEN=$(curl -s {url}/token -d username=ada --data-urlencode 'password=a long ride uptown' \\
  | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
curl -s {url}/predict -H "Authorization: Bearer $TOKEN" \\
  --json '{{"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2020-01-15T17:30:00"}}'"""


def run_stack(settings: Settings, console: Console) -> None:
    """Run everything until Ctrl-C or a termination signal.

    Raises:
        LogitrackError: A requirement is not met, or a process ended.
    """
    with local_stack(settings, console, "up") as stack:
        stack.materialize_if_needed()
        with suppress(KeyboardInterrupt):  # the regular end
            stack.start_servers()
            stack.print_addresses()
            stack.watch()
        console.print("\nStopping…")
    console.print("Stopped; no process is left.")


class LocalStack:
    """The processes of one installation.

    Args:
        settings: Of the installation.
        console: Receives the progress.
        processes: Starts and ends the child processes.
    """

    def __init__(self, settings: Settings, console: Console, processes: ProcessSupervisor) -> None:
        self.service_url = f"http://{settings.service_host}:{settings.service_port}"
        self.dagster_url = f"http://{settings.dagster_host}:{settings.dagster_port}"
        self.source_url = stack_source_url(settings)
        self._settings, self._console, self._processes = settings, console, processes
        os.environ.update(dagster_environment(settings))
        self._environment = {**os.environ, "LOGITRACK_TLC_URL": self.source_url, "PYTHONUNBUFFERED": "1"}

    def materialize_if_needed(self) -> None:
        """Materialise the first months of the source up to a champion, unless there is one.

        A process of its own does it, so that its Spark session has ended when the servers start.

        Raises:
            LogitrackError: The months did not become a champion.
        """
        if open_registry(self._settings).champion() is not None:
            return
        origin = "LOGITRACK_TLC_URL" if self._settings.tlc_url else "the packaged sample"
        self._console.print(
            f"No champion yet: materialising {FIRST_MONTHS} from {origin} ({self.source_url})", highlight=False
        )
        command = [sys.executable, "-m", "logitrack_assets.cli", "materialize", "--months", FIRST_MONTHS]
        environment = self._environment
        if self._settings.tlc_url is None:
            command.append("--quick")
            environment = {"LOGITRACK_SPARK_JAVA_OPTIONS": FAST_START_OPTIONS} | environment
        self._processes.run(command, environment, "The first months did not become a champion")

    def start_servers(self) -> None:
        """Start Dagster and the service, and wait until both answer.

        Raises:
            LogitrackError: A process ended, or did not answer in time.
        """
        dagster = [sys.executable, "-m", "dagster", "dev", "-w", str(config_file("workspace.yaml"))]
        address = ["-h", self._settings.dagster_host, "-p", str(self._settings.dagster_port)]
        self._processes.start("service", [sys.executable, "-m", "logitrack_service"], self._environment)
        self._processes.start("dagster", [*dagster, *address, "--log-level", "warning"], self._environment)
        with self._console.status("Starting Dagster and the service…"):
            self._wait_until_ready(f"{self.service_url}/health/ready")
            self._wait_until_ready(f"{self.dagster_url}/server_info")

    def print_addresses(self) -> None:
        """Print where the servers are, and shell commands that register a user and request a prediction."""
        self._console.print(
            f"\n[bold green]logitrack is running[/]\n"
            f"  Dagster UI         {self.dagster_url}\n"
            f"  API documentation  {self.service_url}/docs\n"
            f"  logs               {self._settings.home / 'logs'}\n\n"
            f"A prediction, for example from another terminal:\n",
            highlight=False,
        )
        self._console.out(_EXAMPLE.format(url=self.service_url), highlight=False)
        self._console.print("\nCtrl-C stops it.")

    def watch(self) -> None:
        """Block as long as every process runs.

        Raises:
            LogitrackError: A process ended.
        """
        while True:
            self._processes.check()
            time.sleep(1)

    def _wait_until_ready(self, url: str) -> None:
        deadline = time.monotonic() + MAX_READY_SECONDS
        while time.monotonic() < deadline:
            self._processes.check()
            with suppress(httpx2.TransportError):  # not listening yet
                if httpx2.get(url, timeout=5).status_code == 200:
                    return
            time.sleep(POLL_SECONDS)
        raise LogitrackError(
            f"{url} did not answer within {MAX_READY_SECONDS} s.",
            hint=f"See {self._settings.home / 'logs'}, then try again.",
        )


@contextmanager
def local_stack(settings: Settings, console: Console, command: str) -> Iterator[LocalStack]:
    """Yield the stack of a machine that meets the requirements; end its processes afterwards.

    Raises:
        LogitrackError: A requirement is not met, or another stack runs on the home folder.
    """
    require_home(settings.home)
    with _interrupt_on_signals(), single_instance(settings.home, command):
        require_java()
        require_disk(settings.home)
        require_free_port(settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT")
        require_free_port(settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT")
        load_or_create_instance_id(settings.home)
        migrated_database_url(settings)
        processes = ProcessSupervisor(settings.home / "logs")
        try:
            yield LocalStack(settings, console, processes)
        finally:
            processes.stop()


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first termination signal and ignore later ones, so that the end is orderly."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def on_signal(_number: int, _frame: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, handler)
