"""The one way to Spark: a session configured by settings, started on first use, one for a process and so for a run."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dagster import ConfigurableResource, get_dagster_logger
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark.sql import SparkSession

from logitrack_assets.settings import JAVA_OPTIONS, Settings

LOG4J_CONFIG = Path(__file__).parent / "log4j2.properties"

_slot: IO[bytes] | None = None  # this process's place among those that may use Spark at once


def spark_config(*, master: str, driver_memory: str, java_options: str = JAVA_OPTIONS) -> dict[str, str]:
    """Spark's configuration for a master; what a step needs beyond it, it says where it needs it."""
    config = {
        "spark.app.name": "logitrack",
        "spark.master": master,
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={LOG4J_CONFIG.as_uri()} {java_options}",
        # Workers must run this very interpreter, or they start the system's and miss our packages.
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Trips carry New York's wall-clock time and no zone; a session zone must never move them.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / "logitrack-spark"),
        # A month is one file with few row groups: smaller splits keep every core busy.
        "spark.sql.files.maxPartitionBytes": "16m",
        "spark.sql.shuffle.partitions": "8",
    }
    if master.startswith("local"):  # a host name that does not resolve would stop the start
        config["spark.driver.host"] = "127.0.0.1"
    return config


def take_spark_slot(folder: Path, runs: int, say: Callable[[str], None]) -> None:
    """Waits until fewer than `runs` other processes of this machine use Spark, then counts this one until it ends.

    The kernel keeps the count in file locks, so a killed process gives its place back and the first use is no
    exception.
    """
    global _slot
    if _slot is not None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        for number in range(runs):
            place = (folder / f"spark.{number}.lock").open("ab")
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                place.close()
                continue
            _slot = place
            return
        if not waited:
            say(f"Waiting: {runs} other run(s) use Spark on this machine, and LOGITRACK_SPARK_RUNS allows no more.")
            waited = True
        time.sleep(1)


class SparkResource(ConfigurableResource):
    """Spark for assets, on top of dagster-pyspark: `spark.session` starts it when first asked for.

    The session lives as long as the process, which is the run's own; a session that was there before is used as it is.
    """

    master: str = Field(description="Spark's master: `local[*]`, `spark://…` or `k8s://…`.")
    driver_memory: str = Field("2g", description="Memory of the driver's JVM.")
    java_options: str = Field(JAVA_OPTIONS, description="TrainingOptions of the driver's JVM.")
    runs: int = Field(1, description="Runs that may use Spark at once on this machine.")
    locks: str = Field(description="Folder of the locks that count them.")

    _session: SparkSession | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> SparkResource:
        """The resource as the settings want it."""
        return cls(
            master=settings.spark_master,
            driver_memory=settings.spark_driver_memory,
            java_options=settings.spark_java_options,
            runs=settings.spark_runs,
            locks=str(settings.home),
        )

    @property
    def session(self) -> SparkSession:
        """The session of this run."""
        if self._session is None:
            self._session = SparkSession.getActiveSession() or self._start()
        return self._session

    def _start(self) -> SparkSession:
        take_spark_slot(Path(self.locks), self.runs, get_dagster_logger().info)
        if self.master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYSPARK_PYTHON"] = sys.executable
        config = spark_config(master=self.master, driver_memory=self.driver_memory, java_options=self.java_options)
        session = LazyPySparkResource(spark_config=config).spark_session
        session.sparkContext.setLogLevel("ERROR")
        return session
