"""Freshness of the monthly tables by their newest month, not by the time at which a month was materialised."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from logitrack_assets.months import Month
from logitrack_assets.trips.asset_names import SAMPLE, SILVER, STATS
from logitrack_assets.trips.resources import TlcSource

PUBLICATION_DELAY_MONTHS = 2
"""The TLC publishes a month about two months after its end."""
WARN_AFTER_DAYS, FAIL_AFTER_DAYS = 38, 45
"""Days since a month was due after which the next one is late: the TLC publishes once a month."""
CHECK = "newest_month_recent"
READ_BY_USERS = (SILVER, SAMPLE, STATS)


@dataclass(frozen=True)
class MonthAge:
    """How old the newest month of a table is.

    Attributes:
        days: Days since the TLC was due to publish the month; negative for a month published early.
        text: For the user.
    """

    days: int
    text: str

    @property
    def passed(self) -> bool:
        """Whether the next month is not late."""
        return self.days <= WARN_AFTER_DAYS

    @property
    def severity(self) -> AssetCheckSeverity:
        """ERROR when the next month is so late that something is broken."""
        return AssetCheckSeverity.ERROR if self.days > FAIL_AFTER_DAYS else AssetCheckSeverity.WARN


def due_date(month: str) -> date:
    """Return the day by which the TLC usually has published a month."""
    return Month(Month.parse(month).number + 1 + PUBLICATION_DELAY_MONTHS).start.date()


def month_age(newest: str, today: date) -> MonthAge:
    """Return how old a newest month is.

    Args:
        newest: `YYYY-MM`.
        today: The day to compare with.
    """
    due = due_date(newest)
    days = (today - due).days
    text = f"The newest month is {newest}, due on {due}, {days} days ago."
    if days > WARN_AFTER_DAYS:
        text += f" The next one is late: a warning after {WARN_AFTER_DAYS} days, an error after {FAIL_AFTER_DAYS}."
    return MonthAge(days, text)


@multi_asset_check(
    name=CHECK,
    specs=[
        AssetCheckSpec(
            CHECK,
            asset=AssetKey(name),
            description=f"The newest month was due at most {WARN_AFTER_DAYS} days ago (an error after "
            f"{FAIL_AFTER_DAYS}), when the source is a server. A folder publishes nothing by itself, so its newest "
            "month is only stated.",
        )
        for name in READ_BY_USERS
    ],
    can_subset=True,
)
def newest_month_recent(context: AssetCheckExecutionContext, source: TlcSource) -> Iterator[AssetCheckResult]:
    """Report the age of the newest month of each table."""
    for key in sorted(context.selected_asset_check_keys, key=lambda key: key.asset_key):
        months = context.instance.get_materialized_partitions(key.asset_key)
        if not months:
            yield AssetCheckResult(passed=True, asset_key=key.asset_key, check_name=CHECK, description="No month yet.")
            continue
        age = month_age(max(months), datetime.now(UTC).date())
        expected = source.base_url.startswith(("http://", "https://"))
        yield AssetCheckResult(
            passed=age.passed or not expected,
            asset_key=key.asset_key,
            check_name=CHECK,
            severity=age.severity,
            description=age.text if expected else f"The newest month is {max(months)}; the source is a folder.",
            metadata={"newest_month": max(months), "days_since_due": age.days},
        )
