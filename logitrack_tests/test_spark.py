"""Concurrent runs with Spark are limited by file locks, and a run reuses the session of its process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from logitrack_assets.settings import Settings
from logitrack_assets.spark import SparkResource

ACQUIRE = """
import sys
from pathlib import Path
from logitrack_assets.spark_slots import acquire_spark_slot
acquire_spark_slot(Path(sys.argv[1]), int(sys.argv[2]), lambda line: print("waiting", flush=True))
print("acquired", flush=True)
sys.stdin.readline()
"""


def _start_process(folder: Path, runs: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(folder), str(runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_second_run_waits_on_first_use_and_continues_when_the_first_is_killed(tmp_path: Path) -> None:
    first = _start_process(tmp_path, 1)
    assert _read_line(first) == "acquired"
    second = _start_process(tmp_path, 1)
    assert _read_line(second) == "waiting"
    first.kill()
    started = time.monotonic()
    assert _read_line(second) == "acquired"
    assert time.monotonic() - started < 10
    second.communicate("\n", timeout=20)
    first.communicate(timeout=20)


def test_higher_limit_admits_more_runs(tmp_path: Path) -> None:
    both = [_start_process(tmp_path, 2), _start_process(tmp_path, 2)]
    assert [_read_line(process) for process in both] == ["acquired", "acquired"]
    for process in both:
        process.communicate("\n", timeout=20)


def test_resource_reuses_the_active_session(spark: SparkSession, tmp_path: Path) -> None:
    assert SparkResource.from_settings(Settings(home=tmp_path)).spark_session is spark
