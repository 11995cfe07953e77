"""Features of trips: their values, their validation and the months that delays come from."""

from __future__ import annotations

import time

import numpy as np
import pytest

from logitrack_assets.eta.features import FEATURES, TripBatch, feature_matrix, hour_of_week_kind
from logitrack_assets.eta.traffic import Delays, sum_delays, without_delays
from logitrack_assets.months import Month
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
        (([1.5], [2], ["2019-01-01"]), "must be whole numbers"),
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
