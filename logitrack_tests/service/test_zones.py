"""Zones: every one has a name, a borough and a valid shape around its centroid."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from litestar.testing import TestClient

from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE

Ring = list[list[float]]


def polygons(geometry: dict[str, Any]) -> list[list[Ring]]:
    return [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]


def signed_area(ring: Ring) -> float:
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring)) / 2


def test_zones_have_names_and_boroughs_without_a_login(client: TestClient):
    response = client.get("/zones")
    rows = response.json()
    assert [row["zone"] for row in rows] == list(range(FIRST_ZONE, LAST_ZONE + 1))
    assert all(row["name"] and row["borough"] and row["service_zone"] for row in rows)
    assert rows[131] | {"latitude": 0, "longitude": 0} == {
        "zone": 132, "name": "JFK Airport", "borough": "Queens", "service_zone": "Airports", "latitude": 0,
        "longitude": 0,
    }  # fmt: skip
    assert response.headers["cache-control"] == "public, max-age=86400"


def test_shapes_are_valid_geojson(client: TestClient):
    response = client.get("/zones.geojson")
    assert response.headers["content-type"].startswith("application/geo+json")
    features = response.json()["features"]
    assert [feature["properties"]["zone"] for feature in features] == list(range(FIRST_ZONE, LAST_ZONE + 1))
    for feature in features:
        for outer, *holes in polygons(feature["geometry"]):
            assert outer[0] == outer[-1]
            assert len(outer) >= 4
            assert signed_area(outer) > 0, "RFC 7946, 3.1.6: the outer ring is counterclockwise"
            assert all(signed_area(hole) < 0 for hole in holes)


def test_each_shape_surrounds_its_centroid(client: TestClient):
    zones = {row["zone"]: row for row in client.get("/zones").json()}
    for feature in client.get("/zones.geojson").json()["features"]:
        zone = zones[feature["properties"]["zone"]]
        positions = [position for rings in polygons(feature["geometry"]) for position in rings[0]]
        longitudes, latitudes = zip(*positions, strict=True)
        assert min(longitudes) < zone["longitude"] < max(longitudes), zone["name"]
        assert min(latitudes) < zone["latitude"] < max(latitudes), zone["name"]


def test_neighbours_share_their_border(client: TestClient):
    features = {feature["id"]: feature for feature in client.get("/zones.geojson").json()["features"]}

    def edges(zone: int) -> set[frozenset[tuple[float, ...]]]:
        rings = [ring for rings in polygons(features[zone]["geometry"]) for ring in rings]
        return {frozenset((tuple(start), tuple(end))) for ring in rings for start, end in pairwise(ring)}

    assert edges(161) & edges(162), "Midtown Center and Midtown East"
    assert not edges(161) & edges(132)
