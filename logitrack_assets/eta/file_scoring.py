"""Predictions for a file of rides, in the input's order and in bounded memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import DEFAULT_LEVEL, Predictor
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.nyc_calendar import NEW_YORK, to_wall_clock
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

REQUIRED = ("pickup_zone", "dropoff_zone", "pickup_at")
OPTIONAL = ("distance_miles", "fleet")
ADDED = ("estimated_duration_minutes", "interval_low_minutes", "interval_high_minutes", "model_version")
SUFFIXES = (".parquet", ".csv")
MAX_BATCH_ROWS = 50_000

_NOT_A_TIME = np.datetime64("NaT", "s")


class ScoringError(LogitrackError):
    """A file that cannot be scored; the message names the column and, where there is one, the row."""


def score_file(source: Path, output: Path, predictor: Predictor, *, level: float = DEFAULT_LEVEL) -> int:
    """Predict every ride of a Parquet or CSV file.

    The output has the input's columns followed by `ADDED`, in the input's order, as Parquet or CSV by its suffix.
    `pickup_at` is New York's wall clock, or an instant with an offset, which is converted. A missing `fleet` means the
    default fleet of the model. An error leaves no output.

    Args:
        source: The file of rides.
        output: The file to write.
        predictor: The model.
        level: Level of the intervals.

    Returns:
        The number of rides.

    Raises:
        ScoringError: A file of another kind, a missing column, or an invalid value.
    """
    if output.suffix not in SUFFIXES:
        raise ScoringError(f"{output}: predictions are written as .parquet or .csv.")
    if not output.parent.is_dir():
        raise ScoringError(f"The folder {output.parent} does not exist.")
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    writer: pq.ParquetWriter | pa.csv.CSVWriter | None = None
    rows = 0
    try:
        for batch in _read_batches(source):
            scored = _score(_BatchReader(pa.Table.from_batches([batch]), rows), predictor, level)
            if writer is None:
                writer_class = pq.ParquetWriter if output.suffix == ".parquet" else pa.csv.CSVWriter
                writer = writer_class(str(partial), scored.schema)
            writer.write_table(scored)
            rows += batch.num_rows
        if writer is None:
            raise ScoringError(f"{source} has no columns.")
        writer.close()
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return rows


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
    # Fixed types, because inference looks at the first block only: a column that begins empty is still a number.
    types = {"distance_miles": pa.float64(), "fleet": pa.string(), "pickup_at": pa.string()}
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
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


def _score(reader: _BatchReader, predictor: Predictor, level: float) -> pa.Table:
    """Return the rides with the columns `ADDED`."""
    trips = reader.trips(predictor.default_fleet)
    prediction = predictor.predict(trips, level=level)
    columns = (
        pa.array(np.round(prediction.minutes, 4)),
        pa.array(np.round(prediction.low, 4)),
        pa.array(np.round(prediction.high, 4)),
        pa.array([predictor.version] * len(trips), pa.string()),
    )
    scored = reader.rides
    for name, column in zip(ADDED, columns, strict=True):
        scored = scored.append_column(name, column)
    return scored


class _BatchReader:
    """Converts a batch of rides to trips.

    Attributes:
        rides: The batch.
        first_row: Row number of its first ride in the file, from 0.
    """

    def __init__(self, rides: pa.Table, first_row: int) -> None:
        self.rides = rides
        self.first_row = first_row

    def trips(self, default_fleet: str) -> TripBatch:
        """Return the rides as trips.

        Raises:
            ScoringError: A value is invalid.
        """
        return TripBatch(
            self._zones("pickup_zone"),
            self._zones("dropoff_zone"),
            self._pickup_at(),
            self._distance_miles(),
            self._fleets(default_fleet),
        )

    def _invalid(self, name: str, row: int, value: object, expected: str) -> ScoringError:
        return ScoringError(f"Row {self.first_row + row + 1}: {name} is {value!r}; {expected}.")

    def _zones(self, name: str) -> NDArray[np.int16]:
        column = self.rides[name]
        expected = f"a zone is a whole number from {FIRST_ZONE} to {LAST_ZONE}"
        if _is_numeric(column):
            numbers = pc.cast(column, pa.float64(), safe=False)
        else:
            numbers = self._parsed(column, name, expected)
        values = pc.fill_null(numbers, float("nan")).to_numpy()
        invalid = ~((values >= FIRST_ZONE) & (values <= LAST_ZONE) & (values == np.floor(values)))
        if invalid.any():
            row = int(np.argmax(invalid))
            raise self._invalid(name, row, column[row].as_py(), expected)
        zones: NDArray[np.int16] = values.astype(np.int16)
        return zones

    def _parsed(self, column: pa.ChunkedArray, name: str, expected: str) -> pa.ChunkedArray:
        """Return a column of texts as numbers."""
        if pa.types.is_null(column.type):
            return column.cast(pa.float64())
        for row, value in enumerate(column):
            try:
                if value.is_valid:
                    float(value.as_py())
            except (TypeError, ValueError):
                raise self._invalid(name, row, value.as_py(), expected) from None
        return column.cast(pa.float64())

    def _pickup_at(self) -> NDArray[np.datetime64]:
        column = self.rides["pickup_at"]
        moments = _wall_clock(column)
        invalid = np.isnat(moments)
        if invalid.any():
            row = int(np.argmax(invalid))
            raise self._invalid("pickup_at", row, column[row].as_py(), "a time looks like 2019-06-03T08:30:00")
        return moments

    def _distance_miles(self) -> NDArray[np.float32]:
        """Return the distances; NaN where missing, not a number or not positive."""
        if "distance_miles" not in self.rides.column_names:
            return np.full(len(self.rides), np.nan, dtype=np.float32)
        column = self.rides["distance_miles"]
        if not (_is_numeric(column) or pa.types.is_null(column.type) or pa.types.is_decimal(column.type)):
            raise ScoringError(f"distance_miles must be numbers, not {column.type}.")
        miles = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy().astype(np.float32)
        with np.errstate(invalid="ignore"):
            return np.where((miles > 0) & np.isfinite(miles), miles, np.float32(np.nan))

    def _fleets(self, default: str) -> NDArray[np.int8]:
        default_code = FLEETS.index(default)
        if "fleet" not in self.rides.column_names:
            return np.full(len(self.rides), default_code, dtype=np.int8)
        names = self.rides["fleet"].cast(pa.string())
        codes = pc.index_in(names, value_set=pa.array(FLEETS))
        invalid = ~(pc.is_valid(codes).to_numpy() | pc.is_null(names).to_numpy())
        if invalid.any():
            row = int(np.argmax(invalid))
            raise self._invalid("fleet", row, names[row].as_py(), f"it is {' or '.join(FLEETS)}")
        fleets: NDArray[np.int8] = pc.fill_null(codes, default_code).to_numpy().astype(np.int8)
        return fleets


def _is_numeric(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _wall_clock(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """Return the times of a column as New York's wall clock, datetime64[s]; not-a-time where they are no times."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is not None:
            column = pc.local_timestamp(column.cast(pa.timestamp("us", tz=NEW_YORK.key)))
        moments: NDArray[np.datetime64] = column.cast(pa.timestamp("s"), safe=False).to_numpy().astype("datetime64[s]")
        return moments
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array([_parse_time(value.as_py()) for value in column], dtype="datetime64[s]")
    return np.full(len(column), _NOT_A_TIME)


def _parse_time(text: str | None) -> np.datetime64:
    """Return an ISO 8601 text as New York's wall clock; not-a-time where it is none."""
    try:
        return np.datetime64(to_wall_clock(datetime.fromisoformat((text or "").strip())), "s")
    except ValueError:
        return _NOT_A_TIME
