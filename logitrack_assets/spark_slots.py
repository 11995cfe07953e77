"""The limit of concurrent runs with Spark on a machine: slots, which are file locks.

A Dagster pool would not do. A pool without a configured limit admits every run, its `default_limit` admitted two runs
on the first use of a new database, and the slot of a killed run stays taken until a daemon frees it, while `logitrack
materialize` runs without a daemon. The kernel releases a file lock when its process ends, however it ends, and the
limit protects the memory of one machine, which is what a lock file counts.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

from logitrack_assets.files import FileLock, try_lock

POLL_SECONDS = 1.0

_slot: FileLock | None = None  # the lock of this process, held until it exits


def acquire_spark_slot(folder: Path, max_concurrent_runs: int, report: Callable[[str], None]) -> None:
    """Block until fewer than `max_concurrent_runs` other processes use Spark; then hold a slot until this one exits.

    Args:
        folder: Where the lock files are; processes that share it share the limit.
        max_concurrent_runs: Number of slots.
        report: Receives one line when the slot is not free at once.
    """
    global _slot
    if _slot is not None:
        return
    paths = _slot_paths(folder, max_concurrent_runs)
    _slot = _lock_first_free(paths)
    if _slot is None:
        report(f"Waiting: LOGITRACK_SPARK_RUNS allows {max_concurrent_runs} run(s) with Spark on this machine.")
    while _slot is None:
        time.sleep(POLL_SECONDS)
        _slot = _lock_first_free(paths)


def free_spark_slots(folder: Path, max_concurrent_runs: int) -> int:
    """Return the number of slots that no process holds; the folder may be read-only."""
    return sum(_is_free(path) for path in _slot_paths(folder, max_concurrent_runs))


def _is_free(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: concurrent probes do not count each other
    except FileNotFoundError:  # no run has used this slot yet
        return True
    except BlockingIOError:
        return False
    return True


def _slot_paths(folder: Path, max_concurrent_runs: int) -> list[Path]:
    return [folder / f"spark.{number}.lock" for number in range(max_concurrent_runs)]


def _lock_first_free(paths: list[Path]) -> FileLock | None:
    return next((lock for path in paths if (lock := try_lock(path)) is not None), None)
