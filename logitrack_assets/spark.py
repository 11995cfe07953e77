"""The one way to Spark: a session configured by settings, started on first use, one for a whole run."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark.sql import SparkSession

from logitrack_assets.settings import Settings


def spark_config(*, master: str, driver_memory: str) -> dict[str, str]:
    """Spark's configuration for a master; what a step needs beyond it, it says where it needs it."""
    return {
        "spark.app.name": "logitrack",
        "spark.master": master,
        "spark.driver.memory": driver_memory,
        # Workers must run this very interpreter, or they start the system's and miss our packages.
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        "spark.driver.host": os.environ.get("SPARK_LOCAL_IP", "127.0.0.1") if master.startswith("local") else "",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Trips carry New York's wall-clock time and no zone; a session zone must never move them.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / "logitrack-spark"),
        # A month is one file with few row groups: smaller splits keep every core busy.
        "spark.sql.files.maxPartitionBytes": "16m",
        "spark.sql.shuffle.partitions": "8",
    }


class SparkResource(ConfigurableResource):
    """Spark for assets: `spark.session` starts it when first asked for; the end of the run stops it.

    A session that was there before (a test's, a notebook's) is used as it is and left running.
    """

    master: str = Field(description="Spark's master: `local[*]`, `spark://…` or `k8s://…`.")
    driver_memory: str = Field("2g", description="Memory of the driver's JVM.")

    _lazy: LazyPySparkResource = PrivateAttr()
    _found: bool = PrivateAttr(default=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> SparkResource:
        return cls(master=settings.spark_master, driver_memory=settings.spark_driver_memory)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        if self.master.startswith("local"):  # a host name that does not resolve would stop the start
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYSPARK_PYTHON"] = sys.executable
        self._found = SparkSession.getActiveSession() is not None
        config = spark_config(master=self.master, driver_memory=self.driver_memory)
        self._lazy = LazyPySparkResource(spark_config={key: value for key, value in config.items() if value})

    @property
    def session(self) -> SparkSession:
        """The session of this run."""
        return self._lazy.spark_session

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        active = SparkSession.getActiveSession()
        if active is not None and not self._found:
            active.stop()
