"""HTTP handlers of /zones: the TLC's taxi zones with their names and shapes."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get
from litestar.openapi import ResponseSpec

from logitrack_assets.reference.zone_shapes import zone_geometries
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE, located_zones

GEOJSON = "application/geo+json"
CACHE_HEADERS = {"cache-control": "public, max-age=86400"}  # zones change with a release only

Degrees = Annotated[float, msgspec.Meta(description="WGS 84 degrees.")]


class ZoneEntry(msgspec.Struct, frozen=True):
    """A taxi zone of the TLC with its centroid. Newark Airport has the borough EWR."""

    zone: Annotated[int, msgspec.Meta(ge=FIRST_ZONE, le=LAST_ZONE, description="Number of the zone.")]
    name: Annotated[str, msgspec.Meta(examples=["JFK Airport"])]
    borough: Annotated[str, msgspec.Meta(examples=["Queens"])]
    service_zone: Annotated[str, msgspec.Meta(description="The TLC's service zone.", examples=["Airports"])]
    latitude: Degrees
    longitude: Degrees


class ZoneProperties(msgspec.Struct, frozen=True):
    """What a zone is called."""

    zone: int
    name: str
    borough: str


class ZoneGeometry(msgspec.Struct, frozen=True):
    """A GeoJSON geometry: rings of positions, longitude before latitude."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class ZoneFeature(msgspec.Struct, frozen=True):
    """A zone with its shape, as a GeoJSON feature."""

    id: int
    properties: ZoneProperties
    geometry: ZoneGeometry
    type: Literal["Feature"] = "Feature"


class ZoneCollection(msgspec.Struct, frozen=True):
    """All zones as a GeoJSON FeatureCollection (RFC 7946)."""

    features: list[ZoneFeature]
    type: Literal["FeatureCollection"] = "FeatureCollection"


@cache
def zone_entries() -> tuple[ZoneEntry, ...]:
    """Return zones 1 to 263, ordered by number."""
    return tuple(
        ZoneEntry(zone.zone, zone.name or "", zone.borough or "", zone.service_zone or "", zone.lat or 0, zone.lon or 0)
        for zone in located_zones()
    )


@cache
def zones_geojson() -> bytes:
    """Return the collection of all zones, encoded."""
    shapes = zone_geometries()
    features = [
        ZoneFeature(
            entry.zone,
            ZoneProperties(entry.zone, entry.name, entry.borough),
            ZoneGeometry(**shapes[entry.zone]),
        )
        for entry in zone_entries()
    ]
    return msgspec.json.encode(ZoneCollection(features))


@get("/zones", exclude_from_auth=True, sync_to_thread=False, summary="List the zones", tags=["zones"])
def list_zones() -> Response[tuple[ZoneEntry, ...]]:
    """Return the taxi zones that predictions and reports refer to, with names and boroughs. Open to everyone."""
    return Response(zone_entries(), headers=CACHE_HEADERS)


@get(
    "/zones.geojson",
    exclude_from_auth=True,
    sync_to_thread=True,
    media_type=GEOJSON,
    responses={
        200: ResponseSpec(
            ZoneCollection, description="Zones with their shapes.", media_type=GEOJSON, generate_examples=False
        )
    },
    summary="Get the shapes of the zones",
    tags=["zones"],
)
def zone_shapes() -> Response[bytes]:
    """Return the simplified polygons of the zones as GeoJSON, in WGS 84 degrees. Open to everyone.

    Each feature has the properties `zone`, `name` and `borough`.
    """
    content = zones_geojson()
    etag = hashlib.sha256(content).hexdigest()[:32]
    return Response(content, media_type=GEOJSON, headers={**CACHE_HEADERS, "etag": f'"{etag}"'})


routes = [list_zones, zone_shapes]
