"""`up` and `demo`: the whole stack on one machine, and every process of it gone afterwards."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
from rich.console import Console

from logitrack_assets import sample
from logitrack_assets.commands.demo import ask, print_report, write_report
from logitrack_assets.commands.doctor import require_disk, require_java
from logitrack_assets.commands.supervisor import ProcessSupervisor, require_free_port, single_instance
from logitrack_assets.database import database_url, migrate, wait_for_database
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.instance import config_file, dagster_environment
from logitrack_assets.settings import JAVA_OPTIONS, Settings

FIRST_MONTHS = "2019-01:2019-12"
READY_SECONDS = 180


def up(settings: Settings, console: Console) -> None:
    """Runs everything until Ctrl-C or a termination signal."""
    with _local_stack(settings, console, "up") as stack:
        stack.materialize_if_needed()
        with suppress(KeyboardInterrupt):  # that is how it is meant to end
            stack.start_servers()
            console.print(
                f"\n[bold green]logitrack is running[/]\n"
                f"  Dagster UI         {stack.dagster_url}\n"
                f"  API documentation  {stack.service_url}/docs\n"
                f"  logs               {settings.home / 'logs'}\n\n"
                f"Ask it, for instance from another terminal:\n",
                highlight=False,
            )
            console.out(stack.curl(), highlight=False)
            console.print("\nCtrl-C ends it.")
            while True:
                stack.children.check()
                time.sleep(1)
        console.print("\nEnding…")
    console.print("Ended; nothing is left running.")


def demo(settings: Settings, console: Console) -> None:
    """Everything `up` does, one prediction over HTTP, a report as `demo.json`, and the end."""
    with _local_stack(settings, console, "demo") as stack:
        stack.materialize_if_needed()
        stack.start_servers()
        answer = ask(stack.service_url)
        report = write_report(settings, answer, source=stack.source_url)
        print_report(report, console)
        console.print(f"The report is also in {settings.home / 'demo.json'}.", highlight=False)


class LocalStack:
    def __init__(self, settings: Settings, console: Console, children: ProcessSupervisor) -> None:
        self.settings, self.console, self.children = settings, console, children
        self.service_url = f"http://{settings.service_host}:{settings.service_port}"
        self.dagster_url = f"http://{settings.dagster_host}:{settings.dagster_port}"
        self.source_url = settings.tlc_url or str(sample.folder())
        os.environ.update(dagster_environment(settings))
        self._environment = {**os.environ, "LOGITRACK_TLC_URL": self.source_url, "PYTHONUNBUFFERED": "1"}

    def materialize_if_needed(self) -> None:
        """The first months of the source become a champion, if there is none yet.

        In a process of its own, so that its Spark is gone when the servers start.
        """
        if ModelRegistry(self.settings.home / "models").champion() is not None:
            return
        chosen = "LOGITRACK_TLC_URL" if self.settings.tlc_url else "the packaged sample"
        self.console.print(
            f"No champion yet: materialising {FIRST_MONTHS} from {chosen} ({self.source_url})", highlight=False
        )
        command = [sys.executable, "-m", "logitrack_assets.cli", "materialize", "--months", FIRST_MONTHS]
        environment = self._environment
        if self.settings.tlc_url is None:
            # The sample is small: compiling everything for long runs would cost more than it brings.
            command.append("--quick")
            environment = {"LOGITRACK_SPARK_JAVA_OPTIONS": f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1"} | environment
        self.children.run(command, environment, "The first months did not become a champion")

    def start_servers(self) -> None:
        """Starts Dagster and the service and waits until both answer."""
        dagster = [sys.executable, "-m", "dagster", "dev", "-w", str(config_file("workspace.yaml"))]
        address = ["-h", self.settings.dagster_host, "-p", str(self.settings.dagster_port)]
        self.children.start("service", [sys.executable, "-m", "logitrack_service"], self._environment)
        self.children.start("dagster", [*dagster, *address, "--log-level", "warning"], self._environment)
        with self.console.status("Starting Dagster and the service…"):
            self._wait(f"{self.service_url}/health/ready")
            self._wait(f"{self.dagster_url}/server_info")

    def curl(self) -> str:
        """Lines for a shell that register, get a token and ask."""
        url = self.service_url
        return "\n".join(
            (
                f'curl -s {url}/register --json \'{{"username": "ada", "password": "a long ride uptown"}}\'',
                f"TOKEN=$(curl -s {url}/token -d username=ada --data-urlencode 'password=a long ride uptown' \\",
                "  | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])')",
                f'curl -s {url}/predict -H "Authorization: Bearer $TOKEN" \\',
                '  --json \'{"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2020-01-15T17:30:00"}\'',
            )
        )

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.children.check()
            try:
                if httpx2.get(url, timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:  # not listening yet
                time.sleep(0.2)
            time.sleep(0.2)
        raise LogitrackError(
            f"{url} did not answer within {READY_SECONDS} s: see {self.settings.home / 'logs'}, then try again."
        )


@contextmanager
def _local_stack(settings: Settings, console: Console, what: str) -> Iterator[LocalStack]:
    with _ending_on_signals(), single_instance(settings.home, what):
        require_java()
        require_disk(settings.home)
        require_free_port(settings.service_host, settings.service_port, "LOGITRACK_SERVICE_PORT")
        require_free_port(settings.dagster_host, settings.dagster_port, "LOGITRACK_DAGSTER_PORT")
        url = database_url(settings)
        wait_for_database(url)
        migrate(url)
        children = ProcessSupervisor(settings.home / "logs")
        try:
            yield LocalStack(settings, console, children)
        finally:
            children.stop()


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Turns the first signal that asks us to end into KeyboardInterrupt and ignores the rest: we end in order."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def on_signal(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, handler)
