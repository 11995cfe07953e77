"""Load test of the running service: HTTP on loopback and PostgreSQL, with all features enabled.

    python -m logitrack_tests.benchmarks.service_load [--seconds 10] [--months 24]

hey generates the load. The application has an additional path that only checks the token; the difference to it is the
cost of a prediction. The model has as many trees as a trained one, of the same depth; they are fitted to noise, so they
are as large as trees of that depth can be.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
from litestar import Litestar, get
from sqlalchemy import create_engine

TRIP = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:30:00"}
PASSWORD = "correct horse battery staple 7"
REPORTS = (
    "avg-duration-by-hour", "payment-analysis", "weekday-hour", "busiest-zones", "zone-pairs", "months", "rejections",
)  # fmt: skip


@get("/nothing")
async def nothing() -> None:
    """Check the token and do nothing."""


def create_app() -> Litestar:
    """Return the service with the additional path."""
    from logitrack_service.app import create_app as create_service

    app = create_service()
    app.register(nothing)
    return app


def serve() -> None:
    """Run the application like `python -m logitrack_service`."""
    import uvicorn

    from logitrack_service import __main__ as service

    run = uvicorn.run

    def run_with_additional_path(_: str, **options: Any) -> None:
        run("logitrack_tests.benchmarks.service_load:create_app", **options)

    uvicorn.run = run_with_additional_path  # type: ignore[assignment]  # same signature
    service.run_service()


@contextmanager
def served(home: Path, *, workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """Run the service and yield its URL and its process."""
    from logitrack_tests.service.processes import free_port

    port = free_port()
    environment = {
        **os.environ,
        "LOGITRACK_HOME": str(home),
        "LOGITRACK_SERVICE_PORT": str(port),
        "LOGITRACK_SERVICE_WORKERS": str(workers),
        "LOGITRACK_DAILY_PREDICTIONS": "1000000000",
        "LOGITRACK_OPEN_PREDICTIONS": "1000000000",
    }
    command = [sys.executable, "-m", "logitrack_tests.benchmarks.service_load", "--serve"]
    with (home / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            time.sleep(0.1)
            try:
                if httpx2.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx2.HTTPError:
                continue
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def forest() -> Any:
    """Return trees with the default parameters of `eta_model`, fitted to noise."""
    import xgboost

    from logitrack_assets.eta.features import FEATURES
    from logitrack_assets.eta.training.onnx_export import from_booster
    from logitrack_assets.eta.training.strategy import TreeParameters

    random = np.random.default_rng(1)
    rows = random.normal(size=(20_000, len(FEATURES))).astype(np.float32)
    noise = random.normal(2.7, 0.3, size=20_000)
    parameters = TreeParameters()
    settings = {"max_depth": parameters.depth, "eta": 0.02, "nthread": 2}
    return from_booster(xgboost.train(settings, xgboost.DMatrix(rows, noise), parameters.trees))


def load(
    url: str, path: str, headers: dict[str, str], *, seconds: int, connections: int = 10, body: Any = None
) -> dict[str, float]:
    """Return requests per second, and the median and 99th percentile of the response time in milliseconds."""
    if shutil.which("hey") is None:
        raise SystemExit("hey is not installed: install it (Debian: apt-get install hey).")
    command = ["hey", "-z", f"{seconds}s", "-c", str(connections), "-o", "csv"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if body is not None:
        command += ["-m", "POST", "-T", "application/json", "-d", json.dumps(body)]
    done = subprocess.run([*command, url + path], capture_output=True, text=True, check=True)
    responses = list(csv.DictReader(done.stdout.splitlines()))
    bad = sum(response["status-code"][0] != "2" for response in responses)
    if bad or not responses:
        raise SystemExit(f"{path}: {bad} of {len(responses)} responses were not 2xx")
    milliseconds = sorted(float(response["response-time"]) * 1000 for response in responses)
    return {
        "per_second": len(milliseconds) / seconds,
        "p50": percentile(milliseconds, 0.5),
        "p99": percentile(milliseconds, 0.99),
    }


def timed(send: Any, times: int) -> list[float]:
    """Call `send` with 0, 1, … and return the sorted durations in milliseconds."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        response = send(number)
        took.append((time.perf_counter() - began) * 1000)
        assert response.status_code == 200, response.text[:500]
    return sorted(took)


def percentile(values: list[float], share: float) -> float:
    """Return the percentile of sorted values; `share` is a fraction."""
    return values[min(len(values) - 1, int(len(values) * share))]


def worker_processes(process: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes of a service; with one worker it is the process itself."""
    children = [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]
    return children or [process]


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time of the workers so far, in seconds."""
    return sum(sum(worker.cpu_times()[:2]) for worker in worker_processes(process))


def megabytes(process: psutil.Process) -> list[int]:
    """Return the resident memory of each worker in MiB."""
    return [round(worker.memory_info().rss / 2**20) for worker in worker_processes(process)]


def main() -> None:
    """Prepare a home directory and measure the service with one and with two workers."""
    from logitrack_assets.database import database_url, migrate
    from logitrack_assets.eta.signed_registry import signed_registry
    from logitrack_assets.settings import Settings
    from logitrack_tests.service.models import publish_model
    from logitrack_tests.service.warehouse import fill

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--trips", type=int, default=40_000, help="generated trips per month")
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--home", type=Path, help="directory that keeps the prepared data")
    options = parser.parse_args()
    if options.serve:
        serve()
        return

    home = options.home or Path(tempfile.mkdtemp(prefix="logitrack-service-load-"))
    registry = signed_registry(Settings(home=home, database_url=None))
    url = database_url(Settings(home=home, database_url=None))
    if not registry.versions():  # a kept directory is prepared already
        trees = forest()
        for number in (1, 2):
            publish_model(home, number=number, forest=trees)
        migrate(url)
        months = [f"{2018 + month // 12}-{month % 12 + 1:02}" for month in range(options.months)]
        fill(create_engine(url), months, trips=options.trips, zones=263)
    versions = registry.versions()
    registry.promote(versions[0], by="benchmark", reason="load")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the test")

    for workers in (1, 2):
        with served(home, workers=workers) as (service, process):
            login = {"username": f"load-{time.time_ns()}", "password": PASSWORD}
            httpx2.post(f"{service}/register", json=login)
            token = httpx2.post(f"{service}/token", data=login).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            started = megabytes(process)
            load(service, "/predict", headers, seconds=2, body=TRIP)
            print(f"\n{workers} worker(s), 10 connections without pauses")
            seen = {}
            for name, body in (("nothing", None), ("predict", TRIP)):
                spent = processor_seconds(process)
                found = seen[name] = load(service, f"/{name}", headers, seconds=options.seconds, body=body)
                spent = (processor_seconds(process) - spent) / (found["per_second"] * options.seconds)
                found["processor"] = spent
                print(
                    f"  /{name:8} {found['per_second']:7.0f}/s  p50 {found['p50']:.2f} ms  p99 {found['p99']:.2f} ms,"
                    f" {spent * 1e6:.0f} us of processor time each"
                )
            idle, busy = seen["nothing"], seen["predict"]
            print(
                f"  predict reaches {busy['per_second'] / idle['per_second']:.0%} of nothing"
                f" ({idle['processor'] / busy['processor']:.0%} by processor time, which other processes do not affect)"
            )
            alone = load(service, "/predict", headers, seconds=options.seconds, connections=1, body=TRIP)
            print(f"  /predict at 1 connection:  p50 {alone['p50']:.2f} ms  p99 {alone['p99']:.2f} ms")
            if workers == 1:
                with httpx2.Client(base_url=service, headers=headers, timeout=60) as client:
                    measure_bulk(client)
                    measure_analytics(client)
                    measure_reloads(client, registry, versions, process, options.reloads)
            print(f"  memory of each worker: {started} MiB at the start, {megabytes(process)} MiB at the end")
    if options.home is None:
        shutil.rmtree(home, ignore_errors=True)


def measure_bulk(client: httpx2.Client) -> None:
    """Measure the batch and the matrix of maximum size."""
    rides = [
        {**TRIP, "pickup_zone": 1 + row % 263, "pickup_at": f"2019-07-{1 + row % 28:02}T{row % 24:02}:{row % 60:02}:00"}
        for row in range(10_000)
    ]
    body = json.dumps({"trips": rides}).encode()
    took = timed(lambda _: client.post("/predict/batch", content=body), 8)
    print(f"  batch of 10,000: {statistics.median(took):.0f} ms = {10_000_000 / statistics.median(took):,.0f} rows/s")
    zones = list(range(1, 101))
    matrix = {"pickup_zones": zones, "dropoff_zones": zones, "pickup_at": TRIP["pickup_at"]}
    took = timed(lambda _: client.post("/predict/matrix", json=matrix), 10)
    print(f"  matrix of 100 x 100: median {statistics.median(took):.0f} ms, slowest {took[-1]:.0f} ms")


def measure_analytics(client: httpx2.Client) -> None:
    """Measure every report on its first request and when cached."""
    for report in REPORTS:
        first = timed(lambda n, report=report: client.get(f"/analytics/{report}?from_month=2018-{n + 1:02}"), 6)
        again = timed(lambda n, report=report: client.get(f"/analytics/{report}?from_month=2018-{n % 6 + 1:02}"), 100)
        print(
            f"  {report:22} first request: median {statistics.median(first):6.1f} ms, slowest {first[-1]:6.1f};"
            f" cached: p50 {percentile(again, 0.5):.1f}, p95 {percentile(again, 0.95):.1f} ms"
        )


def measure_reloads(
    client: httpx2.Client, registry: Any, versions: list[str], process: psutil.Process, reloads: int
) -> None:
    """Measure the delay and the memory of model reloads."""
    before = megabytes(process)
    slowest, most = 0.0, 0
    for number in range(reloads):
        version = versions[(number + 1) % 2]
        registry.promote(version, by="benchmark", reason="another reload")
        began = time.perf_counter()
        while client.post("/predict", json=TRIP).json()["model_version"] != version:
            time.sleep(0.02)
        slowest = max(slowest, time.perf_counter() - began)
        most = max(most, *megabytes(process))
    time.sleep(2)  # the memory of the previous model is returned with a delay
    print(
        f"  {reloads} reloads: slowest after {slowest:.1f} s,"
        f" memory {before} -> {megabytes(process)} MiB, at most {most} MiB while two models are loaded"
    )


if __name__ == "__main__":
    main()
