"""Which outcomes count: plausible ones of accounts that an admin vouches for."""

from __future__ import annotations

import importlib
import uuid
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from logitrack_assets.eta.features import geometry
from logitrack_assets.trips.rules import MAX_SPEED_MPH, MAX_TRIP_MINUTES, MIN_TRIP_MINUTES

NEAR, FAR = (236, 161), (161, 132)  # 2 miles and 13 miles apart
PICKUP = "2024-05-07 08:30"  # 12:30 in UTC


@pytest.fixture
def connection(database_url: str) -> Any:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _evaluate(
    connection: Connection,
    minutes: float,
    *,
    zones: tuple[int, int] = NEAR,
    miles: float | None = None,
    pickup: str = PICKUP,
    predicted_at: str = "2024-05-07 12:25Z",
    reported_at: str = "2024-05-08 12:00Z",
) -> str | None:
    """Store a prediction and its outcome; return why the outcome is implausible."""
    values = {
        "id": str(uuid.uuid4()),
        "minutes": minutes,
        "pickup_zone": zones[0],
        "dropoff_zone": zones[1],
        "miles": miles,
        "pickup": pickup,
        "at": predicted_at,
        "reported": reported_at,
    }
    connection.execute(
        text(
            "insert into service.predictions values (:id, :at, 1, 'v1', 'yellow', :pickup_zone, :dropoff_zone, :pickup,"
            " :miles, 20, 15, 25, 0.8, 100, false)"
        ),
        values,
    )
    connection.execute(text("insert into service.outcomes values (:id, 1, :minutes, :reported)"), values)
    row = connection.execute(text("select * from analytics.outcomes where prediction_id = :id"), values).one()
    assert row.plausible == (row.implausible_reason is None)
    assert row.real_minutes == pytest.approx(minutes)
    reason: str | None = row.implausible_reason
    return reason


@pytest.mark.parametrize(
    ("minutes", "options", "reason"),
    [
        (20, {}, None),
        (0.9, {}, "too_short"),
        (1, {"zones": (161, 161)}, None),
        (180, {}, None),
        (181, {}, "too_long"),
        (1440, {}, "too_long"),
        (8, {"zones": FAR}, "impossible_speed"),
        (12, {"zones": FAR}, None),
        (10, {"miles": 14}, "impossible_speed"),
        (10, {"miles": 13}, None),
        (20, {"pickup": "2024-05-06 08:00"}, "pickup_long_before_prediction"),
        (20, {"pickup": "2024-05-06 09:00"}, None),
        (20, {"pickup": "2019-07-01 08:30"}, "pickup_long_before_prediction"),
        (20, {"reported_at": "2024-05-07 12:40Z"}, "reported_before_end"),
        (20, {"reported_at": "2024-05-07 12:46Z"}, None),  # left at once, five minutes before the planned pickup
        (20, {"predicted_at": "2024-05-07 12:40Z", "reported_at": "2024-05-07 12:51Z"}, None),  # predicted on the way
        (20, {"pickup": "2024-05-09 08:30"}, "reported_before_end"),
        # 01:30 comes twice; the earlier one is 05:30 in UTC.
        (20, {"pickup": "2024-11-03 01:30", "predicted_at": "2024-11-03 05:25Z", "reported_at": "2024-11-03 05:55Z"},
         None),
    ],
)  # fmt: skip
def test_implausible_outcomes_are_marked_with_the_reason(
    connection: Connection, minutes: float, options: dict[str, Any], reason: str | None
) -> None:
    assert _evaluate(connection, minutes, **options) == reason


@pytest.mark.parametrize(("vouched", "minutes", "counted"), [(True, 20, 1), (False, 20, 0), (True, 0.5, 0)])
def test_outcomes_count_if_plausible_and_vouched(
    connection: Connection, vouched: bool, minutes: float, counted: int
) -> None:
    connection.execute(
        text(
            "insert into service.accounts (username, normalized_username, password_hash, vouched)"
            " values ('ada', 'ada', '', :vouched)"
        ),
        {"vouched": vouched},
    )
    _evaluate(connection, minutes)
    assert connection.execute(text("select coalesce(sum(outcomes), 0) from analytics.live_error")).scalar() == counted
    assert connection.execute(text("select count(*) from analytics.outcomes where counted")).scalar() == counted


def test_outcome_that_precedes_the_row_of_its_prediction_counts_afterwards(connection: Connection) -> None:
    connection.execute(
        text(
            "insert into service.accounts (username, normalized_username, password_hash, vouched)"
            " values ('a', 'a', '', true)"
        )
    )
    values = {"id": str(uuid.uuid4())}
    connection.execute(text("insert into service.outcomes values (:id, 1, 20, now())"), values)
    query = text("select counted from analytics.outcomes where prediction_id = :id")
    assert connection.execute(query, values).all() == []
    connection.execute(
        text(
            "insert into service.predictions values (:id, now() - interval '1 hour', 1, 'v1', 'yellow', 236, 161,"
            " (now() - interval '1 hour') at time zone 'America/New_York', null, 20, 15, 25, 0.8, 100, false)"
        ),
        values,
    )
    assert connection.execute(query, values).scalars().all() == [True]


def test_migration_repeats_the_rules_of_trips_and_the_geometry_of_the_features(connection: Connection) -> None:
    migration = importlib.import_module("logitrack_assets.database.migrations.versions.0008_outcomes")
    assert (migration.MIN_MINUTES, migration.MAX_MINUTES) == (MIN_TRIP_MINUTES, MAX_TRIP_MINUTES)
    assert migration.MAX_SPEED_MPH == MAX_SPEED_MPH
    straight = float(geometry().straight_miles[FAR])
    fastest = straight / MAX_SPEED_MPH * 60
    assert _evaluate(connection, fastest * 1.001, zones=FAR) is None
    assert _evaluate(connection, fastest * 0.999, zones=FAR) == "impossible_speed"
