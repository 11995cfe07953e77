"""The Spark session of the benchmarks."""

from __future__ import annotations

import os
import sys

from pyspark.sql import SparkSession

from logitrack_assets.spark import spark_config


def benchmark_session(*, master: str, driver_memory: str) -> SparkSession:
    """Return the session of this process, configured as assets configure theirs; errors only are logged."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder
    for key, value in spark_config(master=master, driver_memory=driver_memory).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
