"""Prometheus metrics that are correct with any number of worker processes.

uvicorn starts each worker as a child process. Children of one parent share a directory of memory-mapped counters
(prometheus-client's multiprocess mode), so the worker that answers `/metrics` reports all of them. A process without
siblings keeps its counters in memory. prometheus-client reads the mode from the environment when it is first imported.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
from pathlib import Path

from logitrack_assets.settings import get_settings

_parent = multiprocessing.parent_process()
if _parent is not None and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    _folder = get_settings().home / "service" / "metrics" / str(_parent.pid)
    _folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_folder)

from prometheus_client import (  # noqa: E402
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

requests = Counter(
    "logitrack_http_requests_total", "HTTP responses by method, route and status.", ["method", "route", "status"]
)
request_seconds = Histogram(
    "logitrack_http_request_seconds",
    "Time to respond, by method and route.",
    ["method", "route"],
    buckets=_BUCKETS_SECONDS,
)
prediction_seconds = Histogram(
    "logitrack_prediction_seconds",
    "Duration of an inference call, by kind of request.",
    ["kind"],
    buckets=_BUCKETS_SECONDS,
)
prediction_rows = Histogram(
    "logitrack_prediction_rows",
    "Trips of an inference call, by kind of request.",
    ["kind"],
    buckets=(1, 10, 100, 1_000, 10_000),
)
model_serving = Gauge("logitrack_model_serving", "1 for the loaded version.", ["version"], multiprocess_mode="livemax")
model_loaded_at = Gauge(
    "logitrack_model_loaded_timestamp_seconds", "When the loaded version was loaded.", multiprocess_mode="livemin"
)
model_promoted_at = Gauge(
    "logitrack_model_promoted_timestamp_seconds",
    "When the loaded version became champion; the current time minus this is its age.",
    multiprocess_mode="livemin",
)
model_reload_failures = Counter("logitrack_model_reload_failures_total", "Champions that could not be loaded.")
prediction_log_rows = Counter(
    "logitrack_prediction_log_rows_total",
    "Log rows of predictions by outcome: stored, refused or dropped.",
    ["outcome"],
)
prediction_log_waiting = Gauge(
    "logitrack_prediction_log_waiting", "Predictions in the queue of the log.", multiprocess_mode="livesum"
)
outcomes = Counter("logitrack_outcomes_total", "Reported outcomes by result.", ["result"])
live_outcomes = Counter("logitrack_live_outcomes_total", "Outcomes that this worker's live state has learned.")
live_enabled = Gauge(
    "logitrack_live_correction_enabled",
    "Whether the safety switch lets the live correction act, by variant of the model.",
    ["variant"],
    multiprocess_mode="livemin",
)
live_difference_minutes = Gauge(
    "logitrack_live_correction_difference_minutes",
    "Mean absolute error with live correction minus the one without, over the last days; negative where it helps.",
    ["variant"],
    multiprocess_mode="livemostrecent",
)
live_excluded_accounts = Gauge(
    "logitrack_live_correction_excluded_accounts",
    "Accounts whose outcomes contradict those of the others and do not count.",
    multiprocess_mode="livemostrecent",
)
pool_connections = Gauge(
    "logitrack_database_connections", "Database connections by state.", ["state"], multiprocess_mode="livesum"
)
connections_closed = Counter(
    "logitrack_connections_closed_total", "Connections that a limit closed, by reason.", ["reason"]
)
platform_part_ok = Gauge(
    "logitrack_platform_part_ok",
    "1 where a part of the platform is ok, 0 where it is degraded or failed, as last reported.",
    ["part"],
    multiprocess_mode="livemostrecent",
)
platform_reported_at = Gauge(
    "logitrack_platform_reported_timestamp_seconds",
    "When Dagster's daemon last reported the state of the platform; 0 before the first report.",
    multiprocess_mode="livemostrecent",
)
logins = Counter("logitrack_logins_total", "Logins by result.", ["result"])


def exposition() -> bytes:
    """Return the metrics of all workers in the text format of Prometheus."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return generate_latest(REGISTRY)
    for path in Path(folder).glob("gauge_live*_*.db"):  # left behind by killed workers
        pid = int(path.stem.rsplit("_", 1)[1])
        if not _is_alive(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # of prometheus-client
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # of prometheus-client
    return generate_latest(registry)


def remove_stale_metric_dirs(home: Path) -> None:
    """Remove the metric directories of services that are no longer running.

    Args:
        home: the value of `LOGITRACK_HOME`.
    """
    for folder in (home / "service" / "metrics").glob("*"):
        if folder.name.isdecimal() and not _is_alive(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
