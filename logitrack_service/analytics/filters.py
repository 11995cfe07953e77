"""Filters that every report takes, and pages that go on where the last one ended."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar.params import FromQuery, QueryParameter

from logitrack_service.http.problems import FieldProblem, problem

MONTH = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"
BOROUGHS = Literal["Manhattan", "Queens", "Brooklyn", "Bronx", "Staten Island", "EWR"]
PAGE, MAX_PAGE_ROWS = 100, 500

Cursor = TypeVar("Cursor")


@dataclass(frozen=True)
class Filters:
    """Which trips a report is about; None takes all. Zone and borough are those of the pickup."""

    from_month: str | None
    to_month: str | None
    fleet: str | None
    borough: str | None
    zone: int | None

    @property
    def by_place(self) -> bool:
        """Whether only some pickup zones are meant."""
        return self.borough is not None or self.zone is not None

    def where(self, *, zone_column: str | None = None) -> tuple[str, dict[str, Any]]:
        """A condition over columns month, fleet and the given zone column, and its values."""
        conditions = ["true"]
        values: dict[str, Any] = {}
        for condition, name, value in (
            ("month >= :from_month", "from_month", self.from_month),
            ("month <= :to_month", "to_month", self.to_month),
            ("fleet = :fleet", "fleet", self.fleet),
        ):
            if value is not None:
                conditions.append(condition)
                values[name] = value
        if zone_column is not None and self.zone is not None:
            conditions.append(f"{zone_column} = :zone")
            values["zone"] = self.zone
        if zone_column is not None and self.borough is not None:
            conditions.append(f"{zone_column} in (select zone from warehouse.zones where borough = :borough)")
            values["borough"] = self.borough
        return " and ".join(conditions), values


def provide_filters(
    from_month: Annotated[str | None, QueryParameter(pattern=MONTH, description="First month, YYYY-MM.")] = None,
    to_month: Annotated[str | None, QueryParameter(pattern=MONTH, description="Last month, YYYY-MM.")] = None,
    fleet: FromQuery[Literal["yellow", "green"] | None] = None,
    borough: FromQuery[BOROUGHS | None] = None,
    zone: Annotated[int | None, QueryParameter(ge=1, le=263, description="Pickup zone.")] = None,
) -> Filters:
    """The filters of a request."""
    return Filters(from_month, to_month, fleet, borough, zone)


def write_cursor(*values: int | str) -> str:
    """Where a page ended, as text that a URL can carry."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(cursor: str | None, kind: type[Cursor]) -> Cursor | None:
    """Where the last page ended; None for the first page.

    Raises:
        HTTPException: 422 for what is no cursor of this report.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise problem(
            422, "Some values are not valid.", errors=[FieldProblem("after", "This is no cursor of this report.")]
        ) from None
