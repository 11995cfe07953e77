"""Translation of Spark's exceptions to domain errors.

Only this module examines what Py4J and Java raise. It uses, in this order, the type of the exception, the error
condition that Spark documents (`FAILED_READ_FILE`, …), the class of a Java exception, and, where the JDK has nothing
else (a full disk is a plain `IOException`), the message of the operating system.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException

from logitrack_assets.errors import LogitrackError
from logitrack_assets.trips.errors import BrokenFileError, DiskFullError, MonthError, SparkConnectionLostError

_UNREADABLE_FILE = "FAILED_READ_FILE"
_PARQUET_ERRORS = ("org.apache.parquet.", "org.apache.spark.sql.execution.datasources.parquet.")
_DISK_FULL_MESSAGES = ("No space left on device", "Disk quota exceeded")  # strerror of ENOSPC and EDQUOT


@dataclass(frozen=True)
class _Cause:
    """One exception of a chain of causes.

    Attributes:
        kind: Name of its class.
        message: Its message, "" when it has none.
        condition: Spark's error condition, None for exceptions that are not Spark's.
        parameters: Parameters of the condition.
    """

    kind: str
    message: str
    condition: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)


@contextmanager
def translated_spark_errors(month: str, files: Sequence[str], lake_root: Path) -> Iterator[None]:
    """Raise what Spark raises in a block as domain errors.

    Args:
        month: The month that the block makes, for messages.
        files: Names of the files that it reads, for messages.
        lake_root: Folder of the lake, for messages.

    Raises:
        SparkConnectionLostError: Spark's JVM ended.
        DiskFullError: No space is left for Spark's output.
        BrokenFileError: A file's rows are unreadable.
        MonthError: Spark failed for another reason.
    """
    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise _domain_error(error, month, files, lake_root) from error


def _domain_error(error: Exception, month: str, files: Sequence[str], lake_root: Path) -> LogitrackError:
    lost = SparkConnectionLostError(
        f"{month} was not made: Spark's JVM ended. The previous version is kept.", hint="Run the month again."
    )
    if _is_connection_error(error):
        return lost
    try:
        causes = _causes(error)
    except (Py4JError, ConnectionError):  # the chain is read from the JVM, which can end meanwhile
        return lost
    if any(text in cause.message for cause in causes for text in _DISK_FULL_MESSAGES):
        return DiskFullError(
            f"{month} was not made: no space left below {lake_root}.", hint="Free some space and run the month again."
        )
    if any((cause.condition or "").startswith(_UNREADABLE_FILE) or _is_parquet_error(cause) for cause in causes):
        paths = {Path(cause.parameters["path"]).name for cause in causes if "path" in cause.parameters}
        damaged = [name for name in files if name in paths] or files
        return BrokenFileError(f"{', '.join(damaged)} is damaged: Spark cannot read its rows.")
    reason = next((cause.message for cause in causes if cause.message), type(error).__name__)
    return MonthError(f"{month} was not made from {', '.join(files)}: {reason.splitlines()[0]}")


def _is_connection_error(error: Exception) -> bool:
    """Return whether the connection to the JVM failed."""
    if isinstance(error, (Py4JNetworkError, ConnectionError)):
        return True
    # Py4J reports a connection that broke during a call as its base error without a Java stack trace.
    return type(error) is Py4JError and "Trace:" not in str(error)


def _is_parquet_error(cause: _Cause) -> bool:
    return cause.kind.startswith(_PARQUET_ERRORS)


def _causes(error: Exception) -> list[_Cause]:
    """Return the exception and its Java causes, outermost first."""
    if isinstance(error, Py4JJavaError):
        return _java_causes(error.java_exception)
    if isinstance(error, PySparkException):
        condition, parameters = error.getCondition(), error.getMessageParameters()
        return [_Cause(type(error).__name__, str(error), condition, parameters or {})]
    return [_Cause(type(error).__name__, str(error))]


def _java_causes(throwable: Any) -> list[_Cause]:
    causes = []
    while throwable is not None:
        kind, message = throwable.getClass().getName(), throwable.getMessage() or ""
        if kind.startswith("org.apache.spark.Spark"):  # SparkException and its relatives implement SparkThrowable
            causes.append(_Cause(kind, message, throwable.getCondition(), dict(throwable.getMessageParameters())))
        else:
            causes.append(_Cause(kind, message))
        throwable = throwable.getCause()
    return causes
