"""Filters that most reports share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from litestar.params import FromQuery, QueryParameter

from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE
from logitrack_service.analytics.schemas import Fleet

MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])(?!\n)$"  # (?!\n): Python's $ also matches before a final newline
Borough = Literal["Manhattan", "Queens", "Brooklyn", "Bronx", "Staten Island", "EWR"]


@dataclass(frozen=True)
class Filters:
    """Which trips a report covers; None means all. Zone and borough are those of the pickup.

    Attributes:
        from_month: First month, YYYY-MM.
        to_month: Last month, YYYY-MM.
        fleet: yellow or green.
        borough: Borough of the pickup.
        zone: TLC taxi zone of the pickup.
    """

    from_month: str | None = None
    to_month: str | None = None
    fleet: Fleet | None = None
    borough: Borough | None = None
    zone: int | None = None

    @property
    def by_place(self) -> bool:
        """Return whether the filters select pickup zones."""
        return self.borough is not None or self.zone is not None

    def where(self, *, zone_column: str | None = None) -> tuple[str, dict[str, Any]]:
        """Return an SQL condition with named parameters, and their values.

        Args:
            zone_column: Column that zone and borough apply to, besides `month` and `fleet`; None ignores them.
        """
        conditions = {
            "from_month": "month >= :from_month",
            "to_month": "month <= :to_month",
            "fleet": "fleet = :fleet",
        }
        if zone_column is not None:
            conditions["zone"] = f"{zone_column} = :zone"
            conditions["borough"] = f"{zone_column} in (select zone from warehouse.zones where borough = :borough)"
        values = {name: getattr(self, name) for name in conditions if getattr(self, name) is not None}
        return " and ".join(["true", *(conditions[name] for name in values)]), values


def provide_filters(
    from_month: Annotated[
        str | None, QueryParameter(pattern=MONTH_PATTERN, description="First month, YYYY-MM.")
    ] = None,
    to_month: Annotated[str | None, QueryParameter(pattern=MONTH_PATTERN, description="Last month, YYYY-MM.")] = None,
    fleet: FromQuery[Fleet | None] = None,
    borough: FromQuery[Borough | None] = None,
    zone: Annotated[int | None, QueryParameter(ge=FIRST_ZONE, le=LAST_ZONE, description="Pickup zone.")] = None,
) -> Filters:
    """Return the filters in a request's query string."""
    return Filters(from_month, to_month, fleet, borough, zone)
