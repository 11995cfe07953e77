"""`logitrack up`: PostgreSQL, Dagster and the service on one machine, ended together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from dagster import DagsterInstance
from rich.console import Console

from logitrack_assets.commands.first_load import plan_first_load, stack_environment
from logitrack_assets.commands.graphql import reexecute_run
from logitrack_assets.commands.models import open_registry
from logitrack_assets.commands.requirements import require_disk, require_free_port, require_java, stack_source_url
from logitrack_assets.commands.supervisor import ProcessSupervisor, single_instance
from logitrack_assets.database import migrated_database_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import write_json
from logitrack_assets.home import load_or_create_instance_id, require_home
from logitrack_assets.instance import DEFINITIONS_MODULE, LOCATION_NAME
from logitrack_assets.run_workers import (
    STOPPED_TAG,
    accepts_connections,
    cancel_active_runs,
    end_orphaned_runs,
    stopped_runs,
)
from logitrack_assets.settings import JAVA_OPTIONS, Settings

MAX_READY_SECONDS = 180
MAX_CANCEL_SECONDS = 20
POLL_SECONDS = 0.4
FAST_START_OPTIONS = f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1"
"""JVM options for the small sample: optimised compilation would cost more time than it saves."""

_GONE = "The process that executed this run was killed, or its machine stopped. Execute the run again if it is needed."
_STOPPED = "logitrack was stopped before this run had ended."
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
        self._socket_folder = TemporaryDirectory(prefix="logitrack-")  # a socket's path is limited to 107 bytes
        self._socket = str(Path(self._socket_folder.name) / "code.sock")
        os.environ.update(stack_environment(settings))
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def materialize_if_needed(self) -> None:
        """Materialise the newest months of the source up to a champion, unless there is one.

        A process of its own does it, so that its Spark session has ended when the servers start.

        Raises:
            LogitrackError: The source has no months, or they did not become a champion.
        """
        if open_registry(self._settings).champion() is not None:
            return
        load = plan_first_load(self._settings, self._environment)
        origin = "LOGITRACK_TLC_URL" if self._settings.tlc_url else "the packaged sample"
        self._console.print(
            f"No champion yet: materialising {load.option} from {origin} ({self.source_url})", highlight=False
        )
        if load.earlier is not None:
            self._console.print(
                f"The source has earlier months, {load.earlier} and before: `logitrack materialize --months "
                f"FIRST:{load.earlier}` adds them later; LOGITRACK_FIRST_LOAD_MONTHS takes more at first.",
                highlight=False,
            )
        command = [sys.executable, "-m", "logitrack_assets.cli", "materialize", "--months", load.option]
        environment = self._environment
        if self._settings.tlc_url is None:
            command.append("--quick")
            environment = {"LOGITRACK_SPARK_JAVA_OPTIONS": FAST_START_OPTIONS} | environment
        self._processes.run("materialize", command, environment, "The first months did not become a champion")

    def end_orphaned_runs(self) -> None:
        """Record the end of runs whose worker is gone, because an earlier stack or the machine was killed."""
        with DagsterInstance.get() as instance:
            ended = end_orphaned_runs(instance, _GONE)
        for run in ended:
            self._console.print(f"Ended run {run.run_id[:8]} of {run.job_name}: its process is gone.", highlight=False)

    def start_servers(self) -> None:
        """Start Dagster and the service, wait until all answer, and resume runs that ended with the last stack.

        Raises:
            LogitrackError: A process ended, or did not answer in time.
        """
        python = [sys.executable, "-m"]
        self._processes.start("service", [*python, "logitrack_service"], self._environment)
        self._processes.start("code", [*python, *self._code_server()], self._environment)
        with self._console.status("Starting Dagster and the service…"):
            self._wait_until(lambda: accepts_connections(self._socket), "Dagster's code server")
            workspace = str(self._write_workspace())
            web = ["logitrack_assets.webserver", "--workspace", workspace]
            daemon = ["dagster._daemon", "run", "--workspace", workspace, "--log-level", "warning"]
            self._processes.start("webserver", [*python, *web], self._environment)
            self._processes.start("daemon", [*python, *daemon], self._environment)
            self._wait_until(lambda: _answers(f"{self.service_url}/health/ready"), self.service_url)
            self._wait_until(lambda: _answers(f"{self.dagster_url}/server_info"), self.dagster_url)
        self._resume_runs()

    def stop(self) -> None:
        """Cancel the runs in progress, end every process, and record the end of runs that did not do so."""
        try:
            self._processes.stop_one("daemon")  # first: it would launch queued runs as others are canceled
            with DagsterInstance.get() as instance:
                cancel_active_runs(instance, MAX_CANCEL_SECONDS)
        finally:
            self._processes.stop()
            self._socket_folder.cleanup()
        with DagsterInstance.get() as instance:
            end_orphaned_runs(instance, _STOPPED)

    def _code_server(self) -> list[str]:
        """Return the command of the code server; its runs outlive a reload of the code from the UI."""
        options = ["--socket", self._socket, "--module-name", DEFINITIONS_MODULE, "--location-name", LOCATION_NAME]
        return ["dagster", "code-server", "start", *options, "--log-level", "warning"]

    def _write_workspace(self) -> Path:
        """Write the file that points the web UI and the daemon to the code server; return its path."""
        server = {"grpc_server": {"socket": self._socket, "location_name": LOCATION_NAME}}
        path = self._settings.home / "dagster" / "workspace.yaml"
        write_json(path, {"load_from": [server]})  # JSON is YAML
        return path

    def _resume_runs(self) -> None:
        """Execute again, once, the runs that ended because an earlier stack did."""
        with DagsterInstance.get() as instance:
            for run in stopped_runs(instance):
                # First the tag, which the new run copies.
                instance.add_run_tags(run.run_id, {STOPPED_TAG: "resumed"})
                try:
                    reexecute_run(self.dagster_url, run.run_id)
                except LogitrackError as error:  # for example: its job does not exist any more
                    self._console.print(f"{error.message}", style="yellow", highlight=False, markup=False)
                else:
                    self._console.print(f"Resumed {run.job_name}, which ended with the last stack.", highlight=False)

    def print_addresses(self) -> None:
        """Print where the servers are, and shell commands that register a user and request a prediction."""
        self._console.print(
            f"\n[bold green]logitrack is running[/]\n"
            f"  Dagster UI         {self.dagster_url}\n"
            f"  web console        {self.service_url}\n"
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

    def _wait_until(self, is_ready: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + MAX_READY_SECONDS
        while time.monotonic() < deadline:
            self._processes.check()
            if is_ready():
                return
            time.sleep(POLL_SECONDS)
        raise LogitrackError(
            f"{name} did not answer within {MAX_READY_SECONDS} s.",
            hint=f"See {self._settings.home / 'logs'}, then try again.",
        )


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.TransportError:  # not listening yet
        return False


@contextmanager
def local_stack(settings: Settings, console: Console, command: str) -> Iterator[LocalStack]:
    """Yield the stack of a machine that meets the requirements; end its processes afterwards.

    Raises:
        LogitrackError: A requirement is not met, or another stack runs on the home folder.
    """
    require_home(settings.home)
    with _interrupt_on_signals(), single_instance(settings.home, command):
        processes = ProcessSupervisor(settings.home)
        if names := processes.end_leftovers(orderly=["service"]):  # before the ports are tested, which they may hold
            console.print(f"Ended what a killed logitrack left: {', '.join(names)}.", highlight=False)
        require_java()
        require_disk(settings.home)
        require_free_port(settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT")
        require_free_port(settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT")
        load_or_create_instance_id(settings.home)
        migrated_database_url(settings)
        stack = LocalStack(settings, console, processes)
        stack.end_orphaned_runs()
        try:
            yield stack
        finally:
            stack.stop()


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
