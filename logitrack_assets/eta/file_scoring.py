"""A file of rides in, the same rides answered out, in the same order, a batch at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact.predictor import DEFAULT_LEVEL, Predictor
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.nyc_calendar import NEW_YORK
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

NEEDED = ("pickup_zone", "dropoff_zone", "pickup_at")
OPTIONAL = ("distance_miles", "fleet")
ADDED = ("estimated_duration_minutes", "interval_low_minutes", "interval_high_minutes", "model_version")
MAX_BATCH_ROWS = 50_000


class ScoringError(LogitrackError):
    """A file that cannot be answered; the message names the column and, where there is one, the row."""


def score_file(source: Path, output: Path, artifact: Predictor, *, level: float = DEFAULT_LEVEL) -> int:
    """Answers every ride of a Parquet or CSV file; returns how many there were.

    The output has the input's columns and, after them, `ADDED`, in the order of the input; Parquet or CSV by its
    suffix. `pickup_at` is New York's wall clock, or an instant with an offset, which is converted. A `fleet` that is
    missing is the only or first one that the model knows. Nothing is written where anything is wrong.

    Raises:
        ScoringError: a file of another kind, a missing column, or a value that cannot be understood.
    """
    if output.suffix not in (".parquet", ".csv"):
        raise ScoringError(f"{output}: answers are written as .parquet or .csv.")
    if not output.parent.is_dir():
        raise ScoringError(f"{output.parent} is no folder to write to.")
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    writer: pq.ParquetWriter | pa.csv.CSVWriter | None = None
    first = 0
    try:
        for batch in _batches(source):
            answered = _answer(pa.Table.from_batches([batch]), artifact, level, first)
            if writer is None:
                kind = pq.ParquetWriter if output.suffix == ".parquet" else pa.csv.CSVWriter
                writer = kind(str(partial), answered.schema)
            writer.write_table(answered)
            first += batch.num_rows
        if writer is None:
            raise ScoringError(f"{source} has no columns.")
        writer.close()
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return first


def _batches(source: Path) -> Iterator[pa.RecordBatch]:
    """The file's rows, at most ROWS_AT_ONCE at a time; an empty file gives one empty batch."""
    if source.suffix not in (".parquet", ".csv"):
        raise ScoringError(f"{source}: rides are read from .parquet or .csv.")
    if not source.is_file():
        raise ScoringError(f"{source} does not exist.")
    try:
        if source.suffix == ".parquet":
            file = pq.ParquetFile(source)
            schema, batches = file.schema_arrow, file.iter_batches(MAX_BATCH_ROWS)
        else:
            # Types are told, not guessed from the first block: a column that begins empty is still a number.
            kinds = {"distance_miles": pa.float64(), "fleet": pa.string(), "pickup_at": pa.string()}
            convert = pa.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True)
            reader = pa.csv.open_csv(source, convert_options=convert)
            schema, batches = reader.schema, iter(reader)
        _require_columns(schema, source)
        some = False
        for batch in batches:
            for start in range(0, max(batch.num_rows, 1), MAX_BATCH_ROWS):
                some = True
                yield batch.slice(start, MAX_BATCH_ROWS)
        if not some:
            yield pa.RecordBatch.from_pylist([], schema)
    except pa.ArrowException as error:
        raise ScoringError(f"{source} cannot be read: {error}") from None


def _require_columns(schema: pa.Schema, source: Path) -> None:
    missing = [name for name in NEEDED if name not in schema.names]
    if missing:
        raise ScoringError(f"{source} has no column {missing[0]}; it needs {', '.join(NEEDED)}.")
    for name in (*NEEDED, *OPTIONAL):
        if schema.names.count(name) > 1:
            raise ScoringError(f"{source} has more than one column {name}.")
    taken = [name for name in ADDED if name in schema.names]
    if taken:
        raise ScoringError(f"{source} already has a column {taken[0]}; rename it first.")


def _answer(rides: pa.Table, artifact: Predictor, level: float, first: int) -> pa.Table:
    trips = TripBatch(
        _zones(rides, "pickup_zone", first),
        _zones(rides, "dropoff_zone", first),
        _moments(rides, first),
        _miles(rides),
        _fleets(rides, artifact, first),
    )
    answer = artifact.predict(trips, level=level)
    for name, column in zip(
        ADDED,
        (
            pa.array(np.round(answer.minutes, 4)),
            pa.array(np.round(answer.low, 4)),
            pa.array(np.round(answer.high, 4)),
            pa.array([artifact.version] * len(trips), pa.string()),
        ),
        strict=True,
    ):
        rides = rides.append_column(name, column)
    return rides


def _wrong(name: str, row: int, found: object, wanted: str) -> ScoringError:
    return ScoringError(f"Row {row + 1}: {name} is {found!r}; {wanted}.")


def _zones(rides: pa.Table, name: str, first: int) -> NDArray[np.int16]:
    column = rides[name]
    wanted = f"a zone is a whole number from {FIRST_ZONE} to {LAST_ZONE}"
    numbers = pc.cast(column, pa.float64(), safe=False) if _numeric(column) else None
    if numbers is None:
        numbers = _parsed(column, name, first, wanted)
    values = pc.fill_null(numbers, float("nan")).to_numpy()
    bad = ~((values >= FIRST_ZONE) & (values <= LAST_ZONE) & (values == np.floor(values)))
    if bad.any():
        row = int(np.argmax(bad))
        raise _wrong(name, first + row, column[row].as_py(), wanted)
    return values.astype(np.int16)


def _numeric(column: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(column.type) or pa.types.is_floating(column.type)


def _parsed(column: pa.ChunkedArray, name: str, first: int, wanted: str) -> pa.ChunkedArray:
    if pa.types.is_null(column.type):
        return column.cast(pa.float64())
    for row, value in enumerate(column):
        try:
            if value.is_valid:
                float(value.as_py())
        except (TypeError, ValueError):
            raise _wrong(name, first + row, value.as_py(), wanted) from None
    return column.cast(pa.float64())


def _moments(rides: pa.Table, first: int) -> NDArray[np.datetime64]:
    column = rides["pickup_at"]
    wanted = "a time looks like 2019-06-03T08:30:00"
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is not None:
            column = pc.local_timestamp(column.cast(pa.timestamp("us", tz=NEW_YORK.key)))
        moments = column.cast(pa.timestamp("s"), safe=False).to_numpy().astype("datetime64[s]")
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        moments = np.array([_moment(value.as_py()) for value in column], dtype="datetime64[s]")
    else:
        moments = np.full(len(column), "NaT", dtype="datetime64[s]")
    bad = np.isnat(moments)
    if bad.any():
        row = int(np.argmax(bad))
        raise _wrong("pickup_at", first + row, column[row].as_py(), wanted)
    return moments


def _moment(text: str | None) -> np.datetime64:
    from datetime import datetime

    from logitrack_assets.nyc_calendar import to_wall_clock

    try:
        return np.datetime64(to_wall_clock(datetime.fromisoformat((text or "").strip())), "s")
    except ValueError:
        return np.datetime64("NaT")


def _miles(rides: pa.Table) -> NDArray[np.float32]:
    """Distances; what is missing, no number or not positive is not known."""
    if "distance_miles" not in rides.column_names:
        return np.full(len(rides), np.nan, dtype=np.float32)
    column = rides["distance_miles"]
    if not (_numeric(column) or pa.types.is_null(column.type) or pa.types.is_decimal(column.type)):
        raise ScoringError(f"distance_miles must be numbers, not {column.type}.")
    miles = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy().astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.where((miles > 0) & np.isfinite(miles), miles, np.float32(np.nan))


def _fleets(rides: pa.Table, artifact: Predictor, first: int) -> NDArray[np.int8]:
    usual = FLEETS.index(artifact.manifest.fleets[0])
    if "fleet" not in rides.column_names:
        return np.full(len(rides), usual, dtype=np.int8)
    names = rides["fleet"].cast(pa.string())
    codes = pc.index_in(names, value_set=pa.array(FLEETS))
    known = pc.is_valid(codes).to_numpy()
    empty = pc.is_null(names).to_numpy()
    if not (known | empty).all():
        row = int(np.argmax(~(known | empty)))
        raise _wrong("fleet", first + row, names[row].as_py(), f"it is {' or '.join(FLEETS)}")
    return pc.fill_null(codes, usual).to_numpy().astype(np.int8)
