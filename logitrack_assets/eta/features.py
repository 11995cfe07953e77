"""The definition of the features, shared by training and serving.

Training applies `feature_matrix` to batches of silver rows in Spark, the service applies it to requests. A feature
uses only what is known when the ride is requested. Its lookup tables (`FeatureTables`) are part of the artifact.

Imports light (numpy and `holidays`): no Spark, no Dagster, no pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from logitrack_assets import nyc_calendar
from logitrack_assets.reference.fleets import FLEETS
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE, located_zones

__all__ = [
    "AIRPORTS",
    "DELAY_FEATURES",
    "FEATURES",
    "FIRST_DAY",
    "FLEETS",
    "HOURS_OF_WEEK_KINDS",
    "LAST_DAY",
    "PAIR_FEATURES",
    "WITHIN_ZONE_MILES",
    "ZONES",
    "FeatureTables",
    "Geometry",
    "TripBatch",
    "feature_matrix",
    "geometry",
    "hour_of_week_kind",
    "is_airport_trip",
    "pair_features",
]

ZONES = LAST_ZONE + 1  # length of tables that are indexed by zone number; row 0 is unused
HOURS_OF_WEEK_KINDS = 48  # 24 hours of a working day, then 24 of a weekend day or holiday
WITHIN_ZONE_MILES = np.float32(0.4)  # mean distance from the two centroids to the real ends of a trip
AIRPORTS = (1, 132, 138)  # Newark, JFK, LaGuardia

PAIR_FEATURES = (
    "pickup_lat",
    "pickup_lon",
    "dropoff_lat",
    "dropoff_lon",
    "pickup_borough",
    "dropoff_borough",
    "pickup_zone",
    "dropoff_zone",
    "straight_miles",
    "grid_miles",
    "bearing",
)
TIME_FEATURES = ("minute_of_day", "weekday", "is_holiday", "day_of_year", "is_green")
DELAY_FEATURES = ("recent_delay", "recent_level")
DISTANCE_FEATURES = ("distance_miles", "distance_over_straight")
FEATURES = PAIR_FEATURES + TIME_FEATURES + DELAY_FEATURES + DISTANCE_FEATURES
"""Column names of the feature matrix, in order. Only the trees with distance use the last two."""


@dataclass(frozen=True)
class TripBatch:
    """Trips as equally long arrays: what is known when a ride is requested.

    Attributes:
        pickup_zone: int16, TLC zones 1 to 263.
        dropoff_zone: int16, TLC zones 1 to 263.
        pickup_at: datetime64[s], New York's wall clock.
        distance_miles: float32, the planned distance; NaN where it is unknown.
        fleet: int8, index into `FLEETS`.
    """

    pickup_zone: NDArray[np.int16]
    dropoff_zone: NDArray[np.int16]
    pickup_at: NDArray[np.datetime64]
    distance_miles: NDArray[np.float32]
    fleet: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.pickup_zone)

    @property
    def distance_known(self) -> NDArray[np.bool_]:
        """Whether each trip has a planned distance."""
        known: NDArray[np.bool_] = self.distance_miles > 0
        return known

    @classmethod
    def from_columns(
        cls,
        pickup_zone: ArrayLike,
        dropoff_zone: ArrayLike,
        pickup_at: ArrayLike,
        distance_miles: ArrayLike | None = None,
        fleet: str | Sequence[str] | NDArray[np.int8] = "yellow",
    ) -> TripBatch:
        """Return trips from array-likes; a distance that is None, not finite or not positive counts as unknown.

        Raises:
            ValueError: A zone outside 1 to 263, a missing time, an unknown fleet, or columns of different lengths;
                the message names the first wrong row.
        """
        pickups, dropoffs = np.atleast_1d(np.asarray(pickup_zone)), np.atleast_1d(np.asarray(dropoff_zone))
        moments = np.atleast_1d(np.asarray(pickup_at, dtype="datetime64[s]"))
        rows = len(pickups)
        miles = _known_miles(distance_miles, rows)
        fleets = _fleet_codes(fleet, rows)
        columns = {"dropoff_zone": dropoffs, "pickup_at": moments, "distance_miles": miles, "fleet": fleets}
        for name, column in columns.items():
            if len(column) != rows:
                raise ValueError(f"{name} has {len(column)} values for {rows} trips")
        _require_zones("pickup_zone", pickups)
        _require_zones("dropoff_zone", dropoffs)
        missing = np.isnat(moments)
        if missing.any():
            raise ValueError(f"pickup_at of row {int(np.argmax(missing))} is missing")
        return cls(pickups.astype(np.int16), dropoffs.astype(np.int16), moments, miles, fleets)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> TripBatch:
        """Return the selected rows."""
        return TripBatch(
            self.pickup_zone[rows],
            self.dropoff_zone[rows],
            self.pickup_at[rows],
            self.distance_miles[rows],
            self.fleet[rows],
        )

    def without_distance(self) -> TripBatch:
        """Return the same trips with the planned distance unknown."""
        unknown = np.full(len(self), np.nan, dtype=np.float32)
        return TripBatch(self.pickup_zone, self.dropoff_zone, self.pickup_at, unknown, self.fleet)


def _known_miles(distance_miles: ArrayLike | None, rows: int) -> NDArray[np.float32]:
    if distance_miles is None:
        return np.full(rows, np.nan, dtype=np.float32)
    miles = np.atleast_1d(np.asarray(distance_miles, dtype=np.float32)).copy()
    with np.errstate(invalid="ignore"):
        miles[~(miles > 0) | np.isinf(miles)] = np.nan
    return miles


def _require_zones(name: str, zones: NDArray[Any]) -> None:
    if len(zones) and not np.issubdtype(zones.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, not {zones.dtype}")
    wrong = (zones < FIRST_ZONE) | (zones > LAST_ZONE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{name} of row {row} is {zones[row]}; a place is zone {FIRST_ZONE} to {LAST_ZONE}")


def _fleet_codes(fleet: str | Sequence[str] | NDArray[np.int8], rows: int) -> NDArray[np.int8]:
    if isinstance(fleet, np.ndarray) and fleet.dtype == np.int8:
        return fleet
    names = [fleet] * rows if isinstance(fleet, str) else list(fleet)
    codes: dict[str, int] = {name: code for code, name in enumerate(FLEETS)}
    unknown = next((name for name in names if name not in codes), None)
    if unknown is not None:
        raise ValueError(f"fleet {unknown!r} is none of {', '.join(FLEETS)}")
    return np.fromiter((codes[name] for name in names), dtype=np.int8, count=len(names))


@dataclass(frozen=True)
class FeatureTables:
    """Lookup tables of the features.

    Attributes:
        pair: float32 (ZONES, ZONES, len(PAIR_FEATURES)), by pickup and drop-off zone.
        delay: float32 (len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), by fleet and `hour_of_week_kind`.
    """

    pair: NDArray[np.float32]
    delay: NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """Geometry of the taxi zones, from their centroids. Row and column 0 are NaN.

    Attributes:
        straight_miles: float64 (ZONES, ZONES), straight-line distance by pickup and drop-off zone.
        grid_miles: float64 (ZONES, ZONES), distance along Manhattan's street grid.
        bearing: float64 (ZONES, ZONES), radians counter-clockwise from east.
        lat: float64 (ZONES,), degrees.
        lon: float64 (ZONES,), degrees.
        borough: int16 (ZONES,), index into the sorted names of boroughs.
    """

    straight_miles: NDArray[np.float64]
    grid_miles: NDArray[np.float64]
    bearing: NDArray[np.float64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    borough: NDArray[np.int16]


@cache
def pair_features() -> NDArray[np.float32]:
    """Return the features that depend on the two zones only, float32 (ZONES, ZONES, len(PAIR_FEATURES))."""
    g = geometry()
    zone = np.arange(ZONES)
    by_pickup = np.stack([g.lat, g.lon, g.borough, zone])[:, :, None]
    by_dropoff = np.stack([g.lat, g.lon, g.borough, zone])[:, None, :]
    columns = {
        "pickup_lat": by_pickup[0],
        "pickup_lon": by_pickup[1],
        "dropoff_lat": by_dropoff[0],
        "dropoff_lon": by_dropoff[1],
        "pickup_borough": by_pickup[2],
        "dropoff_borough": by_dropoff[2],
        "pickup_zone": by_pickup[3],
        "dropoff_zone": by_dropoff[3],
        "straight_miles": g.straight_miles,
        "grid_miles": g.grid_miles,
        "bearing": g.bearing,
    }
    table = np.stack([np.broadcast_to(columns[name], (ZONES, ZONES)) for name in PAIR_FEATURES], axis=2)
    features: NDArray[np.float32] = np.nan_to_num(table).astype(np.float32)
    return features


@cache
def geometry() -> Geometry:
    """Return the geometry of the taxi zones on a flat projection, exact to 0.1% within the city."""
    lat, lon = np.full(ZONES, np.nan), np.full(ZONES, np.nan)
    borough = np.zeros(ZONES, dtype=np.int16)
    names = sorted({zone.borough or "" for zone in located_zones()})
    for zone in located_zones():
        lat[zone.zone], lon[zone.zone] = zone.lat, zone.lon
        borough[zone.zone] = names.index(zone.borough or "")
    east, north = (lon + 73.95) * 69.17 * np.cos(np.radians(40.73)), (lat - 40.73) * 69.0  # miles
    tilt = np.radians(29.0)  # Manhattan's avenues run 29 degrees east of north
    across, along = east * np.cos(tilt) - north * np.sin(tilt), east * np.sin(tilt) + north * np.cos(tilt)
    d_east, d_north = east[None, :] - east[:, None], north[None, :] - north[:, None]
    grid = np.abs(across[None, :] - across[:, None]) + np.abs(along[None, :] - along[:, None])
    return Geometry(np.hypot(d_east, d_north), grid, np.arctan2(d_north, d_east), lat, lon, borough)


FIRST_DAY, LAST_DAY = np.datetime64("2009-01-01", "D"), np.datetime64("2041-12-31", "D")
_FIRST_DAY, _LAST_DAY = int(FIRST_DAY.astype(np.int64)), int(LAST_DAY.astype(np.int64))


@cache
def _calendar() -> NDArray[np.float32]:
    """Return facts about each day from FIRST_DAY to LAST_DAY, float32 (days, 4).

    Columns: ISO weekday, 1 for holidays, day of the year, and the day's row offset in the delay table (0 for working
    days, 24 for weekends and holidays).
    """
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    weekday, holiday = nyc_calendar.iso_weekday(days), nyc_calendar.is_holiday(days)
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
    free = holiday | (weekday >= 6)
    rows: NDArray[np.float32] = np.stack([weekday, holiday, of_year, np.where(free, 24, 0)], axis=1).astype(np.float32)
    return rows


def _days_and_seconds(pickup_at: NDArray[np.datetime64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the calendar row of each moment's day, float32 (n, 4), and its seconds since midnight, int64 (n,)."""
    seconds = pickup_at.astype(np.int64)
    days = seconds // 86400
    # np.minimum and np.maximum: np.clip costs several microseconds more for the single row of a request
    rows = np.minimum(np.maximum(days, _FIRST_DAY), _LAST_DAY) - _FIRST_DAY
    return _calendar()[rows], seconds - days * 86400


def hour_of_week_kind(pickup_at: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the delay-table index of each moment (datetime64[s]): its hour, plus 24 on weekends and holidays."""
    calendar, in_day = _days_and_seconds(pickup_at)
    kind: NDArray[np.int64] = in_day // 3600 + calendar[:, 3].astype(np.int64)
    return kind


def is_airport_trip(trips: TripBatch) -> NDArray[np.bool_]:
    """Return whether each trip begins or ends at an airport."""
    return _IS_AIRPORT[trips.pickup_zone] | _IS_AIRPORT[trips.dropoff_zone]


def feature_matrix(trips: TripBatch, tables: FeatureTables) -> NDArray[np.float32]:
    """Return the features of trips, float32 (len(trips), len(FEATURES)), columns as in `FEATURES`.

    Unknown distances give 0 in the distance columns; trees without distance never split on them.
    """
    calendar, in_day = _days_and_seconds(trips.pickup_at)
    hour_kind = in_day // 3600 + calendar[:, 3].astype(np.int64)

    matrix = np.empty((len(trips), len(FEATURES)), dtype=np.float32)
    pairs = tables.pair[trips.pickup_zone, trips.dropoff_zone]
    matrix[:, _PAIR] = pairs
    matrix[:, _MINUTE] = in_day // 60
    matrix[:, _CALENDAR] = calendar[:, :3]
    matrix[:, _GREEN] = trips.fleet
    matrix[:, _DELAY] = tables.delay[trips.fleet, hour_kind]
    known = np.where(trips.distance_miles > 0, trips.distance_miles, np.float32(0))
    matrix[:, _MILES] = known
    matrix[:, _MILES + 1] = known / (pairs[:, _STRAIGHT] + WITHIN_ZONE_MILES)
    return matrix


_IS_AIRPORT = np.isin(np.arange(ZONES), AIRPORTS)
_PAIR = slice(0, len(PAIR_FEATURES))
_STRAIGHT = FEATURES.index("straight_miles")
_MINUTE = FEATURES.index("minute_of_day")
_CALENDAR = slice(_MINUTE + 1, _MINUTE + 4)
_GREEN = FEATURES.index("is_green")
_DELAY = slice(_GREEN + 1, _GREEN + 1 + len(DELAY_FEATURES))
_MILES = FEATURES.index("distance_miles")
