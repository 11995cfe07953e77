"""The TLC's taxi zones.

Imports light: the standard library only.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FIRST_ZONE, LAST_ZONE = 1, 263
"""Bounds of the zones with a location; 264 is "unknown", 265 "outside New York City"."""


@dataclass(frozen=True)
class Zone:
    """A taxi zone.

    Attributes:
        zone: Number, 1 to 265.
        borough: Borough, "EWR" for Newark Airport.
        name: Name of the neighbourhood.
        service_zone: The TLC's service zone, such as "Yellow Zone".
        lat: Latitude of the centroid, WGS 84 degrees; None for zones 264 and 265.
        lon: Longitude of the centroid, WGS 84 degrees; None for zones 264 and 265.
    """

    zone: int
    borough: str | None
    name: str | None
    service_zone: str | None
    lat: float | None
    lon: float | None


@cache
def zones() -> tuple[Zone, ...]:
    """Return all 265 zones, ordered by number."""
    with (Path(__file__).parent / "zones.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Zone(
                zone=int(row["zone_id"]),
                borough=row["borough"] or None,
                name=row["zone"] or None,
                service_zone=row["service_zone"] or None,
                lat=float(row["lat"]) if row["lat"] else None,
                lon=float(row["lon"]) if row["lon"] else None,
            )
            for row in csv.DictReader(file)
        )


def located_zones() -> tuple[Zone, ...]:
    """Return the zones with a location, 1 to 263, ordered by number."""
    return tuple(zone for zone in zones() if zone.lat is not None)
