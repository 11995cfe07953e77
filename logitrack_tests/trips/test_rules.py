"""Each rule at its limits, in DuckDB: without Spark, a mutant of the rules is tried in a second."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from logitrack_assets.months import Month
from logitrack_assets.trips.rules import REASONS, RULES, first_violated_rule, rule_moments

COLUMNS = {
    "pickup_at": "timestamp", "dropoff_at": "timestamp", "pickup_zone": "integer", "dropoff_zone": "integer",
    "distance_miles": "double", "source_row": "bigint", "kept_row": "bigint",
}  # fmt: skip
NOON = datetime(2019, 3, 5, 12)
SPRING, AUTUMN = datetime(2019, 3, 10), datetime(2019, 11, 3)


def violated_rule(**trip: Any) -> str | None:
    """Return the first rule that a trip of its month violates."""
    row = {
        "pickup_at": NOON, "dropoff_at": NOON + timedelta(minutes=10), "pickup_zone": 132, "dropoff_zone": 236,
        "distance_miles": 2.0, "source_row": 1, "kept_row": 1,
    } | trip  # fmt: skip
    month = row.pop("month", None) or f"{(row['pickup_at'] or NOON):%Y-%m}"
    moments = {name: f"timestamp '{at}'" for name, at in rule_moments(Month.parse(month)).items()}
    values = ", ".join(f"cast(? as {kind}) as {name}" for name, kind in COLUMNS.items())
    minutes = "epoch(dropoff_at - pickup_at) / 60 as duration_minutes"
    named = ", ".join(f"{value} as {name}" for name, value in moments.items())
    query = f"select {first_violated_rule()} from (select *, {minutes}, {named} from (select {values}))"
    (found,) = duckdb.execute(query, [row[name] for name in COLUMNS]).fetchone() or (None,)
    return found


def clock(day: datetime, begin: str, end: str) -> dict[str, datetime]:
    """Return pickup and drop-off of a day from `H:MM` texts."""
    hours = [timedelta(hours=int(text.split(":")[0]), minutes=int(text.split(":")[1])) for text in (begin, end)]
    return {"pickup_at": day + hours[0], "dropoff_at": day + hours[1]}


def lasting(minutes: float) -> dict[str, datetime]:
    return {"pickup_at": NOON, "dropoff_at": NOON + timedelta(minutes=minutes)}


@pytest.mark.parametrize(
    ("trip", "rule"),
    [
        ({}, None),
        ({"pickup_at": None}, "missing_time"),
        ({"dropoff_at": None}, "missing_time"),
        (clock(datetime(2019, 3, 1), "0:00", "0:10"), None),
        (clock(datetime(2019, 3, 31), "23:59", "24:10"), None),
        (clock(datetime(2019, 3, 31), "24:00", "24:10") | {"month": "2019-03"}, "outside_month"),
        (clock(datetime(2019, 2, 28), "23:59", "24:10") | {"month": "2019-03"}, "outside_month"),
        (lasting(0), "dropoff_not_after_pickup"),
        (lasting(-5), "dropoff_not_after_pickup"),
        (lasting(59 / 60), "too_short"),
        (lasting(1) | {"distance_miles": 1.0}, None),
        (lasting(180), None),
        (lasting(180.5), "too_long"),
        ({"pickup_zone": None}, "unknown_zone"),
        ({"dropoff_zone": None}, "unknown_zone"),
        ({"pickup_zone": 0}, "unknown_zone"),
        ({"dropoff_zone": 0}, "unknown_zone"),
        ({"pickup_zone": 264}, "unknown_zone"),
        ({"dropoff_zone": 264}, "unknown_zone"),
        ({"pickup_zone": 1, "dropoff_zone": 263}, None),
        ({"pickup_zone": 263, "dropoff_zone": 1}, None),
        (lasting(60) | {"distance_miles": 80.0}, None),
        (lasting(60) | {"distance_miles": 80.1}, "impossible_speed"),
        ({"distance_miles": None}, None),
        ({"kept_row": 2}, "duplicate"),
    ],
)
def test_rule_at_its_limits(trip: dict[str, Any], rule: str | None):
    assert violated_rule(**trip) == rule


@pytest.mark.parametrize(
    ("trip", "rule"),
    [
        (clock(SPRING, "1:30", "1:59"), None),
        (clock(SPRING, "1:30", "2:00"), "clock_change"),
        (clock(SPRING, "1:30", "3:10"), "clock_change"),
        (clock(SPRING, "2:59", "3:10"), "clock_change"),
        (clock(SPRING, "3:00", "3:10"), None),
        (clock(SPRING, "0:00", "4:00"), "clock_change"),
        (clock(SPRING, "0:00", "4:00") | {"dropoff_at": SPRING + timedelta(hours=4, seconds=30)}, "too_long"),
    ],
)
def test_trip_beside_the_missing_hour(trip: dict[str, Any], rule: str | None):
    assert violated_rule(**trip) == rule


@pytest.mark.parametrize(
    ("trip", "rule"),
    [
        (clock(AUTUMN, "0:59", "1:59"), None),
        (clock(AUTUMN, "0:59", "2:00"), "clock_change"),
        (clock(AUTUMN, "1:00", "2:00"), None),
        (clock(AUTUMN, "1:10", "1:00"), "clock_change"),
        (clock(AUTUMN, "1:10", "0:59"), "dropoff_not_after_pickup"),
        (clock(AUTUMN, "1:30", "1:30"), "clock_change"),
        (clock(AUTUMN, "1:59", "1:58"), "clock_change"),
        (clock(AUTUMN, "2:00", "1:55"), "dropoff_not_after_pickup"),
        (clock(AUTUMN, "1:10", "1:30"), None),
    ],
)
def test_trip_beside_the_doubled_hour(trip: dict[str, Any], rule: str | None):
    assert violated_rule(**trip) == rule


def test_every_rule_has_a_reason_and_the_first_one_counts():
    assert list(REASONS) == [rule.name for rule in RULES]
    assert all(REASONS.values())
    assert violated_rule(**lasting(300), pickup_zone=264, kept_row=2) == "too_long"
