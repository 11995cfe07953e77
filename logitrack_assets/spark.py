"""Spark sessions for assets."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Self

from dagster import get_dagster_logger
from dagster_pyspark import LazyPySparkResource
from pydantic import Field
from pyspark.sql import SparkSession

from logitrack_assets.settings import JAVA_OPTIONS, Settings
from logitrack_assets.spark_slots import acquire_spark_slot

LOG4J_CONFIG = Path(__file__).parent / "log4j2.properties"


def spark_config(*, master: str, driver_memory: str, java_options: str = JAVA_OPTIONS) -> dict[str, str]:
    """Return Spark's configuration for a master. A step that needs more options sets them where it needs them."""
    config = {
        "spark.app.name": "logitrack",
        "spark.master": master,
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={LOG4J_CONFIG.as_uri()} {java_options}",
        # Python workers must run this interpreter: the system's python3 lacks the packages.
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        "spark.python.daemon.module": "logitrack_assets.spark_daemon",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Trips have New York's wall-clock time without a zone; a session time zone must not shift them.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / "logitrack-spark"),
        # A month is one file with few row groups; smaller splits use every core.
        "spark.sql.files.maxPartitionBytes": "16m",
        "spark.sql.shuffle.partitions": "8",
    }
    if master.startswith("local"):  # the start fails where the host's name does not resolve
        config["spark.driver.host"] = "127.0.0.1"
    return config


class SparkResource(LazyPySparkResource):
    """A Spark session that starts on first use and lives as long as the process, which is one run.

    A session that exists in the process is used with its configuration.
    """

    max_concurrent_runs: int = Field(1, ge=1, description="Runs that may use Spark at the same time on this machine.")
    lock_folder: str = Field(description="Folder of the lock files that count them.")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the resource that the settings describe."""
        config = spark_config(
            master=settings.spark_master,
            driver_memory=settings.spark_driver_memory,
            java_options=settings.spark_java_options,
        )
        return cls(spark_config=config, max_concurrent_runs=settings.spark_runs, lock_folder=str(settings.home))

    @property
    def spark_session(self) -> SparkSession:
        """The session of this run. Starting it waits for a slot."""
        session = SparkSession.getActiveSession()
        return session if session is not None else self._start()

    def _start(self) -> SparkSession:
        acquire_spark_slot(Path(self.lock_folder), self.max_concurrent_runs, get_dagster_logger().info)
        if self.spark_config["spark.master"].startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYSPARK_PYTHON"] = sys.executable
        session: SparkSession = super().spark_session
        session.sparkContext.setLogLevel("ERROR")
        return session
