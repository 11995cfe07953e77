"""The one definition of a feature: a float32 matrix made from what is known when the question is asked.

Spark's training applies `feature_matrix` to batches of silver rows, the service applies it to a request; nobody
else computes a feature. Everything a row is looked up in is in a `FeatureTables`, which travels in the artifact.

This module imports light (numpy and `holidays`): no Spark, no Dagster, no pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from logitrack_assets import nyc_calendar
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE, located_zones

FLEETS = ("yellow", "green")
ZONES = LAST_ZONE + 1  # tables are indexed by the zone's own number; row 0 is nobody's
HOURS_OF_WEEK_KINDS = 48  # 24 hours of a working day, then 24 of a weekend day or holiday
WITHIN_ZONE_MILES = np.float32(0.4)  # what a ride covers within its two zones, beyond their centroids
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
"""Column names of the matrix, in order. The last ones are looked at only where the distance is known."""


@dataclass(frozen=True)
class TripBatch:
    """Trips that somebody asks about, as equally long arrays.

    pickup_zone, dropoff_zone: int16, TLC zones 1 to 263.
    pickup_at: datetime64[s], New York's wall clock.
    distance_miles: float32, the planned distance; NaN where it is not known.
    fleet: int8, index into `FLEETS`.
    """

    pickup_zone: NDArray[np.int16]
    dropoff_zone: NDArray[np.int16]
    pickup_at: NDArray[np.datetime64]
    distance_miles: NDArray[np.float32]
    fleet: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.pickup_zone)

    @classmethod
    def from_columns(
        cls,
        pickup_zone: ArrayLike,
        dropoff_zone: ArrayLike,
        pickup_at: ArrayLike,
        distance_miles: ArrayLike | None = None,
        fleet: str | Sequence[str] | NDArray[np.int8] = "yellow",
    ) -> TripBatch:
        """Trips from anything array-like; None, zero or less as a distance means that it is not known.

        Raises:
            ValueError: a zone that is no place, a missing or out-of-range time, an unknown fleet, or lengths
                that differ; names the first wrong row.
        """
        pickups, dropoffs = np.atleast_1d(np.asarray(pickup_zone)), np.atleast_1d(np.asarray(dropoff_zone))
        moments = np.atleast_1d(np.asarray(pickup_at, dtype="datetime64[s]"))
        rows = len(pickups)
        if distance_miles is None:
            miles = np.full(rows, np.nan, dtype=np.float32)
        else:
            miles = np.atleast_1d(np.asarray(distance_miles, dtype=np.float32)).copy()
            with np.errstate(invalid="ignore"):
                miles[~(miles > 0) | np.isinf(miles)] = np.nan
        fleets = _fleet_codes(fleet, rows)
        for name, column in (
            ("dropoff_zone", dropoffs),
            ("pickup_at", moments),
            ("distance_miles", miles),
            ("fleet", fleets),
        ):
            if len(column) != rows:
                raise ValueError(f"{name} has {len(column)} values for {rows} trips")
        for name, zones in (("pickup_zone", pickups), ("dropoff_zone", dropoffs)):
            if rows and not np.issubdtype(zones.dtype, np.integer):
                raise ValueError(f"{name} must be whole numbers, not {zones.dtype}")
            wrong = (zones < FIRST_ZONE) | (zones > LAST_ZONE)
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(f"{name} of row {row} is {zones[row]}; a place is zone {FIRST_ZONE} to {LAST_ZONE}")
        missing = np.isnat(moments)
        if missing.any():
            raise ValueError(f"pickup_at of row {int(np.argmax(missing))} is missing")
        return cls(pickups.astype(np.int16), dropoffs.astype(np.int16), moments, miles, fleets)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> TripBatch:
        """The chosen rows."""
        return TripBatch(
            self.pickup_zone[rows],
            self.dropoff_zone[rows],
            self.pickup_at[rows],
            self.distance_miles[rows],
            self.fleet[rows],
        )

    def without_distance(self) -> TripBatch:
        """The same trips as somebody asks who does not know the distance."""
        unknown = np.full(len(self), np.nan, dtype=np.float32)
        return TripBatch(self.pickup_zone, self.dropoff_zone, self.pickup_at, unknown, self.fleet)


def _fleet_codes(fleet: str | Sequence[str] | NDArray[np.int8], rows: int) -> NDArray[np.int8]:
    if isinstance(fleet, np.ndarray) and fleet.dtype == np.int8:
        return fleet
    names = [fleet] * rows if isinstance(fleet, str) else list(fleet)
    codes = {name: code for code, name in enumerate(FLEETS)}
    unknown = next((name for name in names if name not in codes), None)
    if unknown is not None:
        raise ValueError(f"fleet {unknown!r} is none of {', '.join(FLEETS)}")
    return np.fromiter((codes[name] for name in names), dtype=np.int8, count=len(names))


@dataclass(frozen=True)
class FeatureTables:
    """What a trip's features are looked up in.

    pair: float32 (ZONES, ZONES, len(PAIR_FEATURES)), by pickup and drop-off zone.
    delay: float32 (len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), by fleet and hour of the week's kind.
    """

    pair: NDArray[np.float32]
    delay: NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """Facts about every ordered pair of zones, from their centroids alone; arrays of shape (ZONES, ZONES).

    Distances in miles, bearing in radians from east. Row and column 0 are NaN.
    """

    straight_miles: NDArray[np.float64]
    grid_miles: NDArray[np.float64]
    bearing: NDArray[np.float64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    borough: NDArray[np.int16]


@cache
def pair_features() -> NDArray[np.float32]:
    """The features that depend on the two zones alone, float32 (ZONES, ZONES, len(PAIR_FEATURES))."""
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
    return np.nan_to_num(table).astype(np.float32)


@cache
def geometry() -> Geometry:
    """The geometry of New York's taxi zones on a flat map, good to 0.1% within the city."""
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
    """For each day from FIRST_DAY to LAST_DAY: ISO weekday, whether a holiday, day of the year, row offset of
    its kind of day in the delay table (0 for working days, 24 for others); float32 (days, 4)."""
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    weekday, holiday = nyc_calendar.iso_weekday(days), nyc_calendar.is_holiday(days)
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
    free = holiday | (weekday >= 6)
    return np.stack([weekday, holiday, of_year, np.where(free, 24, 0)], axis=1).astype(np.float32)


def hour_of_week_kind(pickup_at: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Index of each moment in a delay table: its hour, plus 24 on weekend days and holidays."""
    seconds = pickup_at.astype(np.int64)
    days = seconds // 86400
    calendar = _calendar()[np.clip(days, _FIRST_DAY, _LAST_DAY) - _FIRST_DAY]
    return (seconds - days * 86400) // 3600 + calendar[:, 3].astype(np.int64)


def feature_matrix(trips: TripBatch, tables: FeatureTables) -> NDArray[np.float32]:
    """Features of trips, float32 (len(trips), len(FEATURES)), columns as in `FEATURES`.

    Unknown distances give 0 in the distance columns; the trees for zones alone never look at them.
    """
    seconds = trips.pickup_at.astype(np.int64)
    days = seconds // 86400
    in_day = seconds - days * 86400
    calendar = _calendar()[np.minimum(np.maximum(days, _FIRST_DAY), _LAST_DAY) - _FIRST_DAY]
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


_PAIR = slice(0, len(PAIR_FEATURES))
_STRAIGHT = FEATURES.index("straight_miles")
_MINUTE = FEATURES.index("minute_of_day")
_CALENDAR = slice(_MINUTE + 1, _MINUTE + 4)
_GREEN = FEATURES.index("is_green")
_DELAY = slice(_GREEN + 1, _GREEN + 1 + len(DELAY_FEATURES))
_MILES = FEATURES.index("distance_miles")
