"""Features of trips: their values, their validation and the months that delays come from."""

from __future__ import annotations

import time
from datetime import date

import numpy as np
import pytest

from logitrack_assets.eta.features import (
    DELAY_FEATURES,
    FEATURES,
    FIRST_DAY,
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    LAST_DAY,
    PAIR_FEATURES,
    WITHIN_ZONE_MILES,
    ZONES,
    FeatureTables,
    TripBatch,
    feature_matrix,
    geometry,
    hour_of_week_kind,
    is_airport_trip,
    pair_features,
)
from logitrack_assets.eta.traffic import Delays, sum_delays, without_delays
from logitrack_assets.months import Month
from logitrack_assets.reference.zones import located_zones
from logitrack_tests.eta.examples import random_trips


def columns(trips: TripBatch) -> dict[str, np.ndarray]:
    return dict(zip(FEATURES, feature_matrix(trips, without_delays()).T, strict=True))


def test_feature_values_of_a_single_trip():
    found = columns(TripBatch.from_columns([132], [161], ["2019-07-04T08:30:59"], [17.5]))
    assert found["minute_of_day"] == 8 * 60 + 30
    assert found["weekday"] == 4
    assert found["is_holiday"] == 1
    assert found["day_of_year"] == 185
    assert 12 < found["straight_miles"][0] < 14  # JFK to Midtown Center as the crow flies
    assert found["distance_miles"] == np.float32(17.5)
    assert found["pickup_zone"] == 132
    assert found["dropoff_zone"] == 161
    assert found["is_green"] == 0


def test_geometry_agrees_with_the_sphere():
    located = {zone.zone: zone for zone in located_zones() if zone.borough != "EWR"}
    pickup, dropoff = (np.array(list(located)) for _ in range(2))
    lat = np.radians([[zone.lat for zone in located.values()]])
    lon = np.radians([[zone.lon for zone in located.values()]])
    haversine = np.sin((lat - lat.T) / 2) ** 2 + np.cos(lat) * np.cos(lat.T) * np.sin((lon - lon.T) / 2) ** 2
    sphere = 2 * 3958.8 * np.arcsin(np.sqrt(haversine))
    flat = geometry().straight_miles[np.ix_(pickup, dropoff)]
    far = sphere > 1
    assert np.abs(flat / np.where(far, sphere, 1) - 1)[far].max() < 0.005
    north = np.cos(lat.T) * np.sin(lat) - np.sin(lat.T) * np.cos(lat) * np.cos(lon - lon.T)
    bearing = np.arctan2(north, np.sin(lon - lon.T) * np.cos(lat))
    difference = (geometry().bearing[np.ix_(pickup, dropoff)] - bearing + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(difference)[far].max() < 0.01
    assert np.isnan(geometry().straight_miles[0]).all()


def test_grid_and_bearing_follow_the_avenues_of_manhattan():
    g = geometry()
    turned = (g.bearing + np.radians(29.0)) % np.pi  # 90 degrees along the avenues, 0 across them
    expected = g.straight_miles * (np.abs(np.sin(turned)) + np.abs(np.cos(turned)))
    assert np.nanmax(np.abs(g.grid_miles - expected)) < 1e-9


def test_pair_features_are_those_of_both_zones():
    g, table = geometry(), pair_features()
    assert table.shape == (ZONES, ZONES, len(PAIR_FEATURES)) == (264, 264, 11)
    found = dict(zip(PAIR_FEATURES, table[132, 161], strict=True))
    boroughs = sorted({zone.borough or "" for zone in located_zones()})
    by_zone = {zone.zone: zone for zone in located_zones()}
    for end, zone in (("pickup", 132), ("dropoff", 161)):
        assert found[f"{end}_lat"] == np.float32(by_zone[zone].lat)
        assert found[f"{end}_lon"] == np.float32(by_zone[zone].lon)
        assert found[f"{end}_borough"] == boroughs.index(by_zone[zone].borough)
        assert found[f"{end}_zone"] == zone
    assert found["straight_miles"] == np.float32(g.straight_miles[132, 161])
    assert found["grid_miles"] == np.float32(g.grid_miles[132, 161])
    assert found["bearing"] == np.float32(g.bearing[132, 161])
    assert (table[0, 0] == 0).all()


def test_calendar_agrees_with_the_standard_library():
    assert (str(FIRST_DAY), str(LAST_DAY)) == ("2009-01-01", "2041-12-31")
    days = np.arange(FIRST_DAY, LAST_DAY + 1, 97).astype("datetime64[s]")
    days = np.append(days, [LAST_DAY.astype("datetime64[s]"), np.datetime64("2020-12-31", "s")])
    found = columns(TripBatch.from_columns([132] * len(days), [161] * len(days), days))
    dates: list[date] = days.astype("datetime64[D]").tolist()
    assert found["weekday"].tolist() == [at.isoweekday() for at in dates]
    assert found["day_of_year"].tolist() == [at.timetuple().tm_yday for at in dates]


def test_moments_outside_the_calendar_have_the_features_of_its_first_or_last_day():
    found = columns(
        TripBatch.from_columns([132] * 3, [161] * 3, ["2008-06-01T23:59:59", "2050-06-01T00:00:00", "2009-01-01T00:00"])
    )
    assert found["day_of_year"].tolist() == [1, 365, 1]
    assert found["weekday"].tolist() == [4, 2, 4]
    assert found["minute_of_day"].tolist() == [23 * 60 + 59, 0, 0]


def test_delays_are_those_of_fleet_hour_and_kind_of_day():
    shape = (len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES))
    assert shape == (2, 48, 2)
    delay = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    moments = ["2019-07-03T08:59:59", "2019-07-04T08:00:00", "2019-07-06T23:00:00", "2019-07-05T00:00:00"]
    trips = TripBatch.from_columns([132] * 4, [161] * 4, moments, None, ["yellow", "green", "yellow", "green"])
    matrix = feature_matrix(trips, FeatureTables(pair_features(), delay))
    rows = np.stack([delay[0, 8], delay[1, 32], delay[0, 47], delay[1, 0]])
    assert (matrix[:, [FEATURES.index(name) for name in DELAY_FEATURES]] == rows).all()
    assert matrix[:, FEATURES.index("is_green")].tolist() == [0, 1, 0, 1]
    assert matrix.shape == (4, 20)


def test_detour_is_the_distance_over_the_straight_line_and_the_way_within_zones():
    found = columns(TripBatch.from_columns([132, 161], [161, 161], ["2019-07-04T08:30"] * 2, [17.5, 0.5]))
    assert np.float32(0.4) == WITHIN_ZONE_MILES
    assert found["distance_over_straight"] == pytest.approx(17.5 / (found["straight_miles"] + 0.4) * [1, 0.5 / 17.5])


def test_airport_trips_begin_or_end_at_one():
    pickup, dropoff = [1, 236, 132, 236, 138, 236, 236, 2, 133], [236, 1, 236, 132, 236, 138, 236, 131, 139]
    trips = TripBatch.from_columns(pickup, dropoff, ["2019-07-04"] * 9)
    assert is_airport_trip(trips).tolist() == [True] * 6 + [False] * 3


def test_selected_trips_keep_every_column():
    trips = random_trips(50).batch
    for rows in (np.array([3, 1]), slice(2, 4), np.arange(50) % 7 == 0):
        selected = trips.take(rows)
        for name in ("pickup_zone", "dropoff_zone", "pickup_at", "distance_miles", "fleet"):
            np.testing.assert_array_equal(getattr(selected, name), getattr(trips, name)[rows])
    assert len(trips.take(slice(2, 4))) == 2


def test_distance_of_zero_is_unknown_and_half_a_mile_is_not():
    one = TripBatch.from_columns([1, 1], [2, 2], ["2019-07-04"] * 2)
    miles = np.array([0.0, 0.5], dtype=np.float32)
    trips = TripBatch(one.pickup_zone, one.dropoff_zone, one.pickup_at, miles, one.fleet)
    assert trips.distance_known.tolist() == [False, True]
    assert columns(trips)["distance_miles"].tolist() == [0.0, 0.5]


def test_columns_have_their_types_and_distances_of_the_caller_stay():
    miles = np.array([-1.0, 2.0], dtype=np.float32)
    trips = TripBatch.from_columns([1, 263], [263, 1], ["2019-07-04"] * 2, miles, np.array([0, 1], dtype=np.int8))
    assert miles.tolist() == [-1.0, 2.0]
    assert trips.distance_known.tolist() == [False, True]
    types = [trips.pickup_zone, trips.dropoff_zone, trips.pickup_at, trips.distance_miles, trips.fleet]
    assert [column.dtype.name for column in types] == ["int16", "int16", "datetime64[s]", "float32", "int8"]
    single = TripBatch.from_columns(1, 2, "2019-07-04")
    assert (len(single), single.fleet.tolist(), single.distance_known.tolist()) == (1, [0], [False])
    empty = TripBatch.from_columns([], [], [])
    assert len(empty) == 0


def test_unknown_distance_zeroes_only_the_distance_columns():
    trip = TripBatch.from_columns([132], [161], ["2019-07-04T08:30"], [17.5])
    known, unknown = columns(trip), columns(trip.without_distance())
    for name in FEATURES:
        if name.startswith("distance"):
            assert unknown[name] == 0
        else:
            assert unknown[name] == known[name]


@pytest.mark.parametrize("miles", [0.0, -1.0, np.nan, np.inf])
def test_invalid_distance_counts_as_unknown(miles):
    assert np.isnan(TripBatch.from_columns([1], [2], ["2019-01-01"], [miles]).distance_miles[0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1, 264], [2, 2], ["2019-01-01"] * 2), "pickup_zone of row 1 is 264"),
        (([1], [0], ["2019-01-01"]), "dropoff_zone of row 0 is 0"),
        (([1], [2], ["NaT"]), "pickup_at of row 0 is missing"),
        (([1, 2], [2], ["2019-01-01"] * 2), "dropoff_zone has 1 values for 2 trips"),
        (([1.5], [2], ["2019-01-01"]), "pickup_zone must be whole numbers"),
        (([1], [2.5], ["2019-01-01"]), "dropoff_zone must be whole numbers"),
        (([1, 2], [2, 2], ["2019-01-01"]), "pickup_at has 1 values for 2 trips"),
        (([1], [2], ["2019-01-01"], [1.0, 2.0]), "distance_miles has 2 values for 1 trips"),
        (([1], [2], ["2019-01-01"], None, ["green"] * 2), "fleet has 2 values for 1 trips"),
        (([2, 0], [2, 264], ["2019-01-01"] * 2), "pickup_zone of row 1 is 0"),
        (([1, 2], [2, 2], ["2019-01-01", "NaT"]), "pickup_at of row 1 is missing"),
    ],
)
def test_invalid_columns_raise_with_name_and_row(columns, message):
    with pytest.raises(ValueError, match=message):
        TripBatch.from_columns(*columns)


def test_unknown_fleet_raises():
    with pytest.raises(ValueError, match="fleet 'pink' is none of yellow, green"):
        TripBatch.from_columns([1], [2], ["2019-01-01"], fleet="pink")


def test_holidays_and_weekends_share_delay_cells():
    moments = np.array(["2019-07-03T08:00", "2019-07-04T08:00", "2019-07-06T08:00"], dtype="datetime64[s]")
    assert hour_of_week_kind(moments).tolist() == [8, 32, 32]


def test_delays_of_a_month_come_from_earlier_months_only():
    quiet, busy = random_trips(month="2019-05"), random_trips(month="2019-06", seed=1)
    delays = Delays.from_sums(sum_delays(quiet.batch, quiet.minutes) | sum_delays(busy.batch, busy.minutes * 2))
    june, july = Month.parse("2019-06"), Month.parse("2019-07")
    level_in_june, level_in_july = (delays.before(month).delay[0, 0, 1] for month in (june, july))
    assert level_in_july - level_in_june == pytest.approx(np.log(2), abs=0.1)
    changed = Delays.from_sums(sum_delays(quiet.batch, quiet.minutes) | sum_delays(busy.batch, busy.minutes * 50))
    assert (changed.before(june).delay == delays.before(june).delay).all()


def test_fleet_without_trips_uses_the_delays_of_the_other():
    trips = random_trips(month="2019-05")
    tables = Delays.from_sums(sum_delays(trips.batch, trips.minutes)).before(Month.parse("2019-06"))
    assert (tables.delay[1] == tables.delay[0]).all()


def test_single_row_takes_microseconds():
    trip, tables = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"]), without_delays()
    durations = []
    for _ in range(300):
        started = time.perf_counter()
        feature_matrix(trip, tables)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 150e-6
