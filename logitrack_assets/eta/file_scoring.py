"""Predictions for a file of rides, in the input's order and in bounded memory."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import DEFAULT_LEVEL, Predictor
from logitrack_assets.eta.trip_columns import OPTIONAL, REQUIRED, parse_trips

ADDED = (
    "estimated_duration_minutes",
    "interval_low_minutes",
    "interval_high_minutes",
    "model_version",
    "support",
    "extrapolating",
    "error",
)
SUFFIXES = (".parquet", ".csv")
MAX_BATCH_ROWS = 50_000
MAX_NAMED_ERRORS = 10


class ScoringError(LogitrackError):
    """A file that cannot be scored; the message names the column."""


@dataclass
class ScoringSummary:
    """The result of scoring a file.

    Attributes:
        rows: Rows of the file.
        failed: Rows that have an error instead of a prediction.
        errors: The first MAX_NAMED_ERRORS errors, each with the number of its row, from 1.
    """

    rows: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def predicted(self) -> int:
        """Rows that have a prediction."""
        return self.rows - self.failed

    def add(self, errors: list[str | None]) -> None:
        """Count a batch of rows with their errors."""
        for number, error in enumerate(errors, start=self.rows + 1):
            if error is not None:
                self.failed += 1
                if len(self.errors) < MAX_NAMED_ERRORS:
                    self.errors.append(f"Row {number}: {error}")
        self.rows += len(errors)


def score_file(source: Path, output: Path, predictor: Predictor, *, level: float = DEFAULT_LEVEL) -> ScoringSummary:
    """Predict every ride of a Parquet or CSV file.

    The output has the input's columns followed by `ADDED`, in the input's order, as Parquet or CSV by its suffix. A
    row with an invalid value has null predictions, and the column `error` names the value. The columns of a CSV file
    are kept as the text that they are. `pickup_at` is New York's wall clock, or an instant with an offset, which is
    converted. A missing `fleet` means the default fleet of the model.

    Args:
        source: The file of rides.
        output: The file to write; not written after an error.
        predictor: The model.
        level: Level of the intervals.

    Returns:
        The numbers of rows, and the first errors.

    Raises:
        ScoringError: A file of another kind, or a missing column.
    """
    if output.suffix not in SUFFIXES:
        raise ScoringError(f"{output}: predictions are written as .parquet or .csv.")
    if not output.parent.is_dir():
        raise ScoringError(f"The folder {output.parent} does not exist.")
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    writer: pq.ParquetWriter | _CsvWriter | None = None
    summary = ScoringSummary()
    try:
        for batch in _read_batches(source):
            scored = _score(pa.Table.from_batches([batch]), predictor, level)
            if writer is None:
                kind = pq.ParquetWriter if output.suffix == ".parquet" else _CsvWriter
                writer = kind(partial, scored.schema)
            writer.write_table(scored)
            summary.add(scored["error"].to_pylist())
        if writer is None:
            raise ScoringError(f"{source} has no columns.")
        writer.close()
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return summary


class _CsvWriter:
    """Writes tables as CSV and quotes only what needs it; pyarrow's writer quotes every text."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(schema.names)

    def write_table(self, table: pa.Table) -> None:
        """Write the rows of a table."""
        texts = [
            pc.cast(column, pa.string()) if pa.types.is_boolean(column.type) else column for column in table.columns
        ]
        self._writer.writerows(zip(*(column.to_pylist() for column in texts), strict=True))

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()


def _read_batches(source: Path) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows, at most MAX_BATCH_ROWS at a time; one empty batch for an empty file."""
    if source.suffix not in SUFFIXES:
        raise ScoringError(f"{source}: rides are read from .parquet or .csv.")
    if not source.is_file():
        raise ScoringError(f"{source} does not exist.")
    try:
        schema, batches = _open(source)
        _require_columns(schema, source)
        empty = True
        for batch in batches:
            for start in range(0, max(batch.num_rows, 1), MAX_BATCH_ROWS):
                empty = False
                yield batch.slice(start, MAX_BATCH_ROWS)
        if empty:
            yield pa.RecordBatch.from_pylist([], schema)
    except pa.ArrowException as error:
        raise ScoringError(f"{source} cannot be read: {error}") from None


def _open(source: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if source.suffix == ".parquet":
        file = pq.ParquetFile(source)
        return file.schema_arrow, file.iter_batches(MAX_BATCH_ROWS)
    # Text only: a type that is inferred from the first block makes a later invalid value an error of the whole file.
    with pa.csv.open_csv(source) as reader:
        types = dict.fromkeys(reader.schema.names, pa.string())
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    reader = pa.csv.open_csv(source, convert_options=options)
    return reader.schema, iter(reader)


def _require_columns(schema: pa.Schema, source: Path) -> None:
    missing = [name for name in REQUIRED if name not in schema.names]
    if missing:
        raise ScoringError(f"{source} has no column {missing[0]}; it needs {', '.join(REQUIRED)}.")
    for name in (*REQUIRED, *OPTIONAL):
        if schema.names.count(name) > 1:
            raise ScoringError(f"{source} has more than one column {name}.")
    taken = [name for name in ADDED if name in schema.names]
    if taken:
        raise ScoringError(f"{source} already has a column {taken[0]}; rename it first.")


def _score(rides: pa.Table, predictor: Predictor, level: float) -> pa.Table:
    """Return the rides with the columns `ADDED`."""
    parsed = parse_trips(rides, predictor.default_fleet)
    prediction = predictor.predict(parsed.trips, level=level)
    columns = (
        _spread(np.round(prediction.minutes, 4), parsed.valid),
        _spread(np.round(prediction.low, 4), parsed.valid),
        _spread(np.round(prediction.high, 4), parsed.valid),
        pa.array([predictor.version if valid else None for valid in parsed.valid], pa.string()),
        _spread(prediction.support, parsed.valid),
        _spread(prediction.extrapolating, parsed.valid),
        pa.array(parsed.errors, pa.string()),
    )
    for name, column in zip(ADDED, columns, strict=True):
        rides = rides.append_column(name, column)
    return rides


def _spread(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> pa.Array:
    """Return the values of the valid rows as a column of all rows, null in the others."""
    column = np.zeros(len(valid), dtype=values.dtype)
    column[valid] = values
    return pa.array(column, mask=~valid)
