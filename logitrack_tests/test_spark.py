"""Spark: places on a machine are counted by the kernel, and the session is shared."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from logitrack_assets.settings import Settings
from logitrack_assets.spark import SparkResource

TAKER = """
import sys
from pathlib import Path
from logitrack_assets.spark import take_spark_slot
take_spark_slot(Path(sys.argv[1]), int(sys.argv[2]), lambda words: print("waiting", flush=True))
print("taken", flush=True)
sys.stdin.readline()
"""


def _taker(folder: Path, runs: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TAKER, str(folder), str(runs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_run_waits_even_the_very_first_time_and_a_killed_one_makes_room(tmp_path: Path) -> None:
    first = _taker(tmp_path, 1)
    assert _line(first) == "taken"
    second = _taker(tmp_path, 1)
    assert _line(second) == "waiting"
    first.kill()
    started = time.monotonic()
    assert _line(second) == "taken"
    assert time.monotonic() - started < 10
    second.communicate("\n", timeout=20)
    first.communicate(timeout=20)


def test_a_cluster_takes_more_at_once(tmp_path: Path) -> None:
    both = [_taker(tmp_path, 2), _taker(tmp_path, 2)]
    assert [_line(process) for process in both] == ["taken", "taken"]
    for process in both:
        process.communicate("\n", timeout=20)


def test_assets_use_the_session_that_is_there(spark: SparkSession, tmp_path: Path) -> None:
    assert SparkResource.from_settings(Settings(home=tmp_path)).session is spark
