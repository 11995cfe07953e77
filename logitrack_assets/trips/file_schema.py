"""Mapping of a published file's columns to the canonical ones.

The TLC has renamed columns, changed their case and changed their types between int32, int64, double and null. The
footer of a file determines how it is read: `plan_reading` maps its columns to the canonical ones, and lists required
columns that are missing and columns that are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from logitrack_assets.trips.errors import BrokenFileError
from logitrack_assets.trips.schema import PUBLISHED_COLUMNS, Column

_KINDS = {"smallint": "number", "int": "number", "double": "number", "timestamp_ntz": "time", "string": "text"}


@dataclass(frozen=True)
class ColumnReading:
    """The source of one canonical column.

    Attributes:
        column: The canonical column.
        source: Name of the file's column; None reads nulls.
    """

    column: Column
    source: str | None


@dataclass(frozen=True)
class ReadPlan:
    """The mapping of one file.

    Attributes:
        readings: One entry per canonical column, in their order.
        unread: Columns of the file, with their types, that are not read: unknown ones, and optional ones of an
            unusable type. They stay in bronze and are recorded in the receipt.
    """

    readings: tuple[ColumnReading, ...]
    unread: tuple[str, ...]

    def source(self, name: str) -> str | None:
        """Return the name of the file's column that a canonical column is read from, None for nulls."""
        return next(reading.source for reading in self.readings if reading.column.name == name)


def read_footer(path: Path) -> pq.FileMetaData:
    """Return the Parquet footer of a file.

    Raises:
        BrokenFileError: The file has no readable footer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if not head:
            raise BrokenFileError(f"{path.name} is empty.")
        if head.lstrip()[:1] == b"<":
            raise BrokenFileError(f"{path.name} is a web page, not a Parquet file.")
        if head[:4] != b"PAR1":
            raise BrokenFileError(f"{path.name} is not a Parquet file.")
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise BrokenFileError(f"{path.name} is truncated or damaged: its footer is unreadable ({reason}).") from error


def plan_reading(schema: pa.Schema, name: str) -> ReadPlan:
    """Map the columns of a file to the canonical ones.

    Args:
        schema: Arrow schema of the file.
        name: Name of the file, for messages.

    Raises:
        BrokenFileError: Required columns are missing, ambiguous or of an unusable type; the message names each.
    """
    originals: dict[str, list[str]] = {}
    for field in schema:
        originals.setdefault(field.name.lower(), []).append(field.name)
    readings, problems, read = [], [], set[str]()
    for column in PUBLISHED_COLUMNS:
        found = [original for source in column.sources for original in originals.get(source, [])]
        usable = [original for original in found if _is_castable(schema.field(original).type, column)]
        read.update(usable)
        if problem := _column_problem(schema, column, found, usable):
            problems.append(problem)
        filled = [original for original in usable if not pa.types.is_null(schema.field(original).type)]
        readings.append(ColumnReading(column, filled[0] if filled else None))
    if problems:
        raise BrokenFileError(f"{name} cannot be read as trips: {'; '.join(problems)}.")
    unread = tuple(f"{field.name} ({field.type})" for field in schema if field.name not in read)
    return ReadPlan(tuple(readings), unread)


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Return the Arrow types of a file's columns by name, as text for its receipt."""
    return {field.name: str(field.type) for field in schema}


def _column_problem(schema: pa.Schema, column: Column, found: list[str], usable: list[str]) -> str | None:
    """Return why a canonical column cannot be read, or None.

    Args:
        schema: Schema of the file.
        column: The canonical column.
        found: Names of the file's columns with one of its names.
        usable: Those with a usable type.
    """
    if len({original.lower() for original in found}) < len(found) or (column.required and len(usable) > 1):
        return f"{column.name} occurs more than once ({', '.join(found)})"
    if column.required and not found:
        return f"{column.name} is missing (published as {', '.join(column.sources)})"
    if column.required and not usable:
        return f"{found[0]} has type {schema.field(found[0]).type}, which is not a {_KINDS[column.type]}"
    return None


def _is_castable(kind: pa.DataType, column: Column) -> bool:
    """Return whether a file's type casts to the canonical one without interpretation."""
    if pa.types.is_null(kind):
        return not column.required
    match _KINDS[column.type]:
        case "number":
            return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))
        case "time":
            return isinstance(kind, pa.TimestampType) and kind.tz is None
        case _:
            return not pa.types.is_nested(kind)
