"""Cleaning rules: which rows are valid trips.

A rule is data: a name, a predicate that is true for a row that violates it, and the reason. A rejected row carries the
name of the first violated rule, in the order of `RULES`. Predicates are SQL over the canonical columns,
`duration_minutes` and the moments of the month (`rule_moments`); Spark and DuckDB both execute them.

Rules use only facts that are known when an ETA is requested: times, zones and an optional distance. Fares, tips,
payments and passenger counts must not decide which trips the model is trained and evaluated on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from logitrack_assets.months import Month
from logitrack_assets.nyc_calendar import clock_changes
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

RULES_VERSION = "1"
"""Increase it when a predicate changes: months cleaned under another version then show as stale."""

MIN_TRIP_MINUTES = 1
MAX_TRIP_MINUTES = 180
MAX_SPEED_MPH = 80
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Rule:
    """A cleaning rule.

    Attributes:
        name: Identifier, stored with rejected rows.
        predicate: SQL that is true for a row that violates the rule.
        reason: Explanation for people.
    """

    name: str
    predicate: str
    reason: str


RULES: tuple[Rule, ...] = (
    Rule(
        "missing_time",
        "pickup_at is null or dropoff_at is null",
        "The pickup or drop-off time is missing, so the duration is unknown.",
    ),
    Rule(
        "outside_month",
        "pickup_at < month_start or pickup_at >= month_end",
        "The pickup is not in the file's month: the meter's date was wrong, or the row belongs to another file.",
    ),
    Rule(
        "clock_change",
        # The trip ends in or after the missing hour and began before its end; or it spans the doubled hour, or
        # ends before it begins inside that hour. Clock changes do not explain trips longer than the limit.
        "(missing_from <= dropoff_at and pickup_at < missing_until"
        " or pickup_at < doubled_from and doubled_until <= dropoff_at"
        " or doubled_from <= dropoff_at and dropoff_at <= pickup_at and pickup_at < doubled_until)"
        f" and duration_minutes <= {MAX_TRIP_MINUTES + 60}",
        "The clocks changed during the trip: the difference of its two wall-clock times is not its duration.",
    ),
    Rule(
        "dropoff_not_after_pickup",
        "dropoff_at <= pickup_at",
        "The drop-off is not later than the pickup.",
    ),
    Rule(
        "too_short",
        f"duration_minutes < {MIN_TRIP_MINUTES}",
        "Shorter than a minute: the meter was started by mistake or the ride was cancelled.",
    ),
    Rule(
        "too_long",
        f"duration_minutes > {MAX_TRIP_MINUTES}",
        "Longer than three hours: the meter was left running.",
    ),
    Rule(
        "unknown_zone",
        f"pickup_zone is null or dropoff_zone is null or pickup_zone not between {FIRST_ZONE} and {LAST_ZONE}"
        f" or dropoff_zone not between {FIRST_ZONE} and {LAST_ZONE}",
        "The pickup or drop-off zone is unknown (264), outside the city (265) or not a taxi zone.",
    ),
    Rule(
        "impossible_speed",
        f"distance_miles > duration_minutes * {MAX_SPEED_MPH} / 60",
        f"Faster than {MAX_SPEED_MPH} miles per hour on average: the distance or a time is wrong.",
    ),
    Rule(
        DUPLICATE,
        # `kept_row` is the one row that is kept of all rows with the same trip key.
        "source_row <> kept_row",
        "Same fleet, vendor, times and zones as another row: a record that was sent twice, or a payment that was "
        "reversed or corrected. The first row in the file with a distance is kept.",
    ),
)

REASONS = {rule.name: rule.reason for rule in RULES}


def rule_moments(month: Month) -> dict[str, datetime]:
    """Return the moments that predicates refer to: the month's bounds and its year's clock changes, by name."""
    changes = clock_changes(month.year)
    return {
        "month_start": month.start,
        "month_end": month.end,
        "missing_from": changes.missing_from,
        "missing_until": changes.missing_until,
        "doubled_from": changes.doubled_from,
        "doubled_until": changes.doubled_until,
    }


def first_violated_rule(rules: tuple[Rule, ...] = RULES) -> str:
    """Return a SQL expression for the name of the first rule that a row violates, null for a valid trip."""
    cases = " ".join(f"when {rule.predicate} then '{rule.name}'" for rule in rules)
    return f"case {cases} end"
