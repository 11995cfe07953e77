"""A month keeps one complete version when a process of Spark is killed while it works.

`test_crash_points` kills publications at each of their durable operations.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from logitrack_assets.files import read_json
from logitrack_assets.lake import MANIFEST, Lake
from logitrack_assets.trips.source import file_name

MONTHS = ("2023-01", "2023-02")

CLEANING = """
    import itertools, sys
    from pathlib import Path
    from pyspark.sql import SparkSession
    from logitrack_assets.lake import Lake
    from logitrack_assets.spark import spark_config
    from logitrack_assets.trips.ingest import ingest_file
    from logitrack_assets.trips.month import clean_month
    from logitrack_assets.trips.source import Source
    home, *sources = map(Path, sys.argv[1:])
    builder = SparkSession.builder
    for key, value in spark_config(master="local[2]", driver_memory="1g").items():
        builder = builder.config(key, value)
    spark, lake = builder.getOrCreate(), Lake(home)
    lake.recover()
    for number, source in enumerate(itertools.cycle(sources)):
        for month in ("2023-01", "2023-02"):
            ingest_file(lake, Source(str(source)), "green", month, lambda text: None)
            clean_month(spark, lake, month)
        print("round", number, flush=True)
"""


def start_process(script: str, *arguments: Path) -> subprocess.Popen[str]:
    """Return a process that runs the script, after its first round."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    if not process.stdout.readline():
        pytest.fail(process.communicate()[1])
    return process


def assert_complete(lake: Lake, month: str, digests: set[str]) -> None:
    """Assert that the month is one published version, from the source's bytes to the counted rows."""
    receipt = lake.receipt("green", month)
    assert receipt is not None
    file = lake.bronze("green", month) / file_name("green", month)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == receipt["sha256"]
    manifests = [read_json(folder / MANIFEST) for folder in (lake.silver(month), lake.rejected(month))]
    assert manifests[0] is not None
    assert manifests[0] == manifests[1]
    assert manifests[0]["bronze_sha256"]["green"] in digests
    counts = manifests[0]["rows"]["green"]
    for folder, rows in (
        (lake.silver(month), counts["silver"]),
        (lake.rejected(month), sum(counts["rejected"].values())),
    ):
        assert sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")) == rows


@pytest.mark.parametrize("victim", ["worker", "jvm"])
@pytest.mark.long
def test_cleaning_killed_at_random_moment_is_complete(victim, tlc_folder, tmp_path):
    versions = [tmp_path / "first", tmp_path / "second"]
    digests: dict[str, set[str]] = {month: set() for month in MONTHS}
    for rows, version in zip((2_000, 3_000), versions, strict=True):
        (version / "trip-data").mkdir(parents=True)
        for month in MONTHS:
            path = version / "trip-data" / file_name("green", month)
            pq.write_table(pq.read_table(tlc_folder / "trip-data" / path.name).slice(0, rows), path)
            digests[month].add(hashlib.sha256(path.read_bytes()).hexdigest())
    process = start_process(CLEANING, tmp_path / "home", *versions)
    java = [child for child in psutil.Process(process.pid).children(recursive=True) if "java" in child.name()]
    time.sleep(random.Random(victim).uniform(0, 5))
    if victim == "jvm":
        for child in java:
            child.kill()
        assert "Spark's JVM ended" in process.communicate(timeout=60)[1]
    else:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    psutil.wait_procs(java, timeout=30)
    lake = Lake(tmp_path / "home")
    lake.recover()
    for month in MONTHS:
        assert_complete(lake, month, digests[month])
