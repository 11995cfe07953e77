"""Trips from the columns of a file: each value is parsed by itself, and an invalid one is an error of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.nyc_calendar import NEW_YORK, to_wall_clock
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

REQUIRED = ("pickup_zone", "dropoff_zone", "pickup_at")
OPTIONAL = ("distance_miles", "fleet")

_NOT_A_TIME = np.datetime64("NaT", "s")


@dataclass(frozen=True)
class ParsedTrips:
    """The trips of a table.

    Attributes:
        trips: The valid rows, in the table's order.
        valid: bool, one for each row of the table.
        errors: One for each row of the table: its invalid values in words, or None.
    """

    trips: TripBatch
    valid: NDArray[np.bool_]
    errors: list[str | None]


def parse_trips(rides: pa.Table, default_fleet: str) -> ParsedTrips:
    """Return the trips of a table with the columns `REQUIRED` and perhaps `OPTIONAL`.

    `pickup_at` is New York's wall clock, or an instant with an offset, which is converted.

    Args:
        rides: The table.
        default_fleet: The fleet of a row that has none.
    """
    parser = _Parser(rides)
    columns = (
        parser.zones("pickup_zone"),
        parser.zones("dropoff_zone"),
        parser.pickup_at(),
        parser.distance_miles(),
        parser.fleets(default_fleet),
    )
    valid = np.array([error is None for error in parser.errors], dtype=bool)
    return ParsedTrips(TripBatch(*columns).take(valid), valid, parser.errors)


class _Parser:
    """Parses one column after the other and collects errors by row. Arrays have any value in a row with an error."""

    def __init__(self, rides: pa.Table) -> None:
        self.errors: list[str | None] = [None] * len(rides)
        self._rides = rides

    def zones(self, name: str) -> NDArray[np.int16]:
        values = self._numbers(name)
        invalid = ~((values >= FIRST_ZONE) & (values <= LAST_ZONE) & (values == np.floor(values)))
        self._reject(name, invalid, f"a zone is a whole number from {FIRST_ZONE} to {LAST_ZONE}")
        zones: NDArray[np.int16] = np.where(invalid, FIRST_ZONE, values).astype(np.int16)
        return zones

    def pickup_at(self) -> NDArray[np.datetime64]:
        moments = _wall_clock(self._rides["pickup_at"])
        self._reject("pickup_at", np.isnat(moments), "a time looks like 2019-06-03T08:30:00")
        return moments

    def distance_miles(self) -> NDArray[np.float32]:
        """Return the distances; NaN where missing or not positive."""
        if "distance_miles" not in self._rides.column_names:
            return np.full(len(self._rides), np.nan, dtype=np.float32)
        miles = self._numbers("distance_miles").astype(np.float32)
        given = pc.is_valid(self._rides["distance_miles"]).to_numpy()
        if _is_text(self._rides["distance_miles"]):
            self._reject("distance_miles", np.isnan(miles) & given, "a distance is a number of miles")
        with np.errstate(invalid="ignore"):
            return np.where((miles > 0) & np.isfinite(miles), miles, np.float32(np.nan))

    def fleets(self, default: str) -> NDArray[np.int8]:
        default_code = FLEETS.index(default)
        if "fleet" not in self._rides.column_names:
            return np.full(len(self._rides), default_code, dtype=np.int8)
        names = self._rides["fleet"].cast(pa.string())
        codes = pc.index_in(names, value_set=pa.array(FLEETS))
        invalid = pc.is_valid(names).to_numpy() & pc.is_null(codes).to_numpy()
        self._reject("fleet", invalid, f"it is {' or '.join(FLEETS)}")
        fleets: NDArray[np.int8] = pc.fill_null(codes, default_code).to_numpy().astype(np.int8)
        return fleets

    def _reject(self, name: str, invalid: NDArray[np.bool_], expected: str) -> None:
        column = self._rides[name]
        for row in np.flatnonzero(invalid):
            error = f"{name} is {column[int(row)].as_py()!r}; {expected}"
            known = self.errors[row]
            self.errors[row] = error if known is None else f"{known}. {error}"

    def _numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as float64; NaN where it is null or not a number."""
        column = self._rides[name]
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            values: NDArray[np.float64] = pc.fill_null(
                pc.cast(column, pa.float64(), safe=False), float("nan")
            ).to_numpy()
            return values
        return np.array([_parse(float, value.as_py(), float("nan")) for value in column], dtype=np.float64)


def _wall_clock(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """Return the times of a column as New York's wall clock, datetime64[s]; not-a-time where they are no times."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is not None:
            column = pc.local_timestamp(column.cast(pa.timestamp("us", tz=NEW_YORK.key)))
        moments: NDArray[np.datetime64] = column.cast(pa.timestamp("s"), safe=False).to_numpy().astype("datetime64[s]")
        return moments
    if _is_text(column):
        return np.array([_parse(_parse_time, value.as_py(), _NOT_A_TIME) for value in column], dtype="datetime64[s]")
    return np.full(len(column), _NOT_A_TIME)


def _parse_time(text: str) -> np.datetime64:
    """Return an ISO 8601 text as New York's wall clock."""
    return np.datetime64(to_wall_clock(datetime.fromisoformat(text.strip())), "s")


def _parse(convert: Callable[[Any], Any], value: object, default: object) -> Any:
    """Return the converted text, or the default for anything else and for a text that cannot be converted."""
    if not isinstance(value, str):
        return default
    try:
        return convert(value)
    except ValueError:
        return default


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
