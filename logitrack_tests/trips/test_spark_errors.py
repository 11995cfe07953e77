"""Spark's exceptions become domain errors."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from logitrack_assets.trips.errors import BrokenFileError, MonthError, SparkConnectionLostError
from logitrack_assets.trips.spark_errors import translated_spark_errors

LAKE = Path("/lake")


def test_unreadable_rows_name_the_damaged_file(spark, tmp_path):
    good, damaged = tmp_path / "good.parquet", tmp_path / "damaged.parquet"
    for path in (good, damaged):
        pq.write_table(pa.table({"value": list(range(10_000))}), path, compression="none", use_dictionary=False)
    content = bytearray(damaged.read_bytes())
    content[4:60] = b"\xff" * 56  # the first page's header
    damaged.write_bytes(content)
    rows = spark.read.parquet(str(good)).union(spark.read.parquet(str(damaged)))
    with (
        pytest.raises(BrokenFileError, match=r"^damaged\.parquet is damaged: Spark cannot read its rows\.$"),
        translated_spark_errors("2023-01", [good.name, damaged.name], LAKE),
    ):
        rows.write.parquet(str(tmp_path / "out"))


def test_other_spark_failure_carries_its_first_line(spark):
    with (
        pytest.raises(MonthError, match=r"^2023-01 was not made from a\.parquet: \[PATH_NOT_FOUND\] [^\n]*$"),
        translated_spark_errors("2023-01", ["a.parquet"], LAKE),
    ):
        spark.read.parquet("/nowhere/a.parquet")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        Py4JNetworkError("Answer from Java side is empty"),
        Py4JError("An error occurred while calling o61.parquet"),
    ],
    ids=["refused", "network", "broken call"],
)
def test_lost_connection_is_reported_as_ended_jvm(error):
    with pytest.raises(SparkConnectionLostError, match="Spark's JVM ended"), translated_spark_errors("x", [], LAKE):
        raise error


def test_java_error_without_exception_object_is_not_a_lost_connection():
    error = Py4JError("An error occurred while calling o1.x. Trace:\npy4j.Py4JException: Method x([]) does not exist")
    with pytest.raises(MonthError, match="was not made") as raised, translated_spark_errors("x", ["f"], LAKE):
        raise error
    assert not isinstance(raised.value, SparkConnectionLostError)


def test_exception_without_condition_is_translated():
    with pytest.raises(MonthError, match="was not made from f: something"), translated_spark_errors("x", ["f"], LAKE):
        raise PySparkException("something")


def test_other_errors_pass_unchanged():
    with pytest.raises(ZeroDivisionError), translated_spark_errors("x", [], LAKE):
        raise ZeroDivisionError
