"""Which rows count as trips: the rules, in the order in which they are asked.

A rule is data: a name, a predicate that is true for a row that breaks it, and why. A rejected row carries the
name of the first rule it broke. Predicates are plain SQL over the canonical columns, `duration_minutes` and the
moments of the month (`month_start` and the like, see `moments_of`); they run in Spark, and in DuckDB for comparison.

Only what is known when somebody asks how long a ride will take may decide: times, zones, and a distance where
one is given. Never fare, tip, payment or passengers.
"""

from dataclasses import dataclass
from datetime import datetime

from logitrack_assets.nyc_calendar import clock_changes
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

RULES_VERSION = "1"
"""Raise it when a predicate changes: months cleaned before then show as stale."""

MIN_TRIP_MINUTES = 1
MAX_TRIP_MINUTES = 180
MAX_SPEED_MPH = 80
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Rule:
    """What makes a row no trip: `predicate` is true for a row that breaks the rule."""

    name: str
    predicate: str
    why: str


RULES: tuple[Rule, ...] = (
    Rule(
        "missing_time",
        "pickup_at is null or dropoff_at is null",
        "Without both times there is no duration.",
    ),
    Rule(
        "outside_month",
        "pickup_at < month_start or pickup_at >= month_end",
        "The pickup is not in the file's month: a meter with a wrong date, or a row that belongs to another file.",
    ),
    Rule(
        "clock_change",
        # The trip ends in or after the missing hour and began before its end; or it spans the doubled hour, or
        # goes back in time inside it. A clock change a day away is not the reason why a trip is odd.
        "(missing_from <= dropoff_at and pickup_at < missing_until"
        " or pickup_at < doubled_from and doubled_until <= dropoff_at"
        " or doubled_from <= dropoff_at and dropoff_at <= pickup_at and pickup_at < doubled_until)"
        f" and duration_minutes <= {MAX_TRIP_MINUTES + 60}",
        "The clocks changed during the trip: the difference of its two wall-clock times is not its duration.",
    ),
    Rule(
        "dropoff_not_after_pickup",
        "dropoff_at <= pickup_at",
        "A ride ends after it begins.",
    ),
    Rule(
        "too_short",
        f"duration_minutes < {MIN_TRIP_MINUTES}",
        "Under a minute nobody was driven anywhere: the meter was started by mistake or the ride was called off.",
    ),
    Rule(
        "too_long",
        f"duration_minutes > {MAX_TRIP_MINUTES}",
        "Over three hours is a meter left running, not a ride in the city.",
    ),
    Rule(
        "unknown_zone",
        f"pickup_zone is null or dropoff_zone is null or pickup_zone not between {FIRST_ZONE} and {LAST_ZONE}"
        f" or dropoff_zone not between {FIRST_ZONE} and {LAST_ZONE}",
        "One end is unknown (264), outside the city (265) or no taxi zone: nobody could have asked for this ride.",
    ),
    Rule(
        "impossible_speed",
        f"distance_miles > duration_minutes * {MAX_SPEED_MPH} / 60",
        f"More than {MAX_SPEED_MPH} miles an hour door to door: the distance or a time is wrong.",
    ),
    Rule(
        DUPLICATE,
        # `kept_row` is the row that stands for all rows with the same fleet, vendor, times and zones.
        "source_row <> kept_row",
        "The same ride again (same fleet, vendor, times and zones): a record sent twice, or a payment that was "
        "reversed or corrected. One of them is kept: the first in the file that gives a distance.",
    ),
)

REASONS = {rule.name: rule.why for rule in RULES}


def month_bounds(month: str) -> tuple[datetime, datetime]:
    """First moment of the month `YYYY-MM` and of the one after it. Raises ValueError when it is no month."""
    start = datetime.strptime(month, "%Y-%m")
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start, end


def moments_of(month: str) -> dict[str, datetime]:
    """The moments that predicates speak of: the month's bounds and its year's clock changes."""
    start, end = month_bounds(month)
    changes = clock_changes(start.year)
    return {
        "month_start": start,
        "month_end": end,
        "missing_from": changes.missing_from,
        "missing_until": changes.missing_until,
        "doubled_from": changes.doubled_from,
        "doubled_until": changes.doubled_until,
    }


def first_broken_rule(rules: tuple[Rule, ...] = RULES) -> str:
    """One SQL expression that gives the name of the first rule a row breaks, null for a trip that counts."""
    cases = " ".join(f"when {rule.predicate} then '{rule.name}'" for rule in rules)
    return f"case {cases} end"
