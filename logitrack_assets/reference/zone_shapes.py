"""Polygons of the taxi zones, simplified, as GeoJSON.

Imports light: the standard library only.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DECIMALS = 5  # of a degree, about one metre

Position = tuple[float, float]  # longitude, latitude


@cache
def zone_geometries() -> dict[int, dict[str, Any]]:
    """Return the GeoJSON geometry (RFC 7946) of each zone from 1 to 263, in WGS 84 degrees."""
    topology = json.loads(Path(__file__).with_name("zones.topojson").read_text(encoding="utf-8"))
    arcs = _decode_arcs(topology)
    return {
        shape["id"]: {"type": shape["type"], "coordinates": _coordinates(shape, arcs)}
        for shape in topology["objects"]["zones"]["geometries"]
    }


def _decode_arcs(topology: dict[str, Any]) -> list[list[Position]]:
    """Return the arcs of a quantized topology, whose positions are differences (TopoJSON specification, 2.1.3)."""
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        positions = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            positions.append((round(left + scale_x * x, DECIMALS), round(bottom + scale_y * y, DECIMALS)))
        arcs.append(positions)
    return arcs


def _coordinates(shape: dict[str, Any], arcs: list[list[Position]]) -> list[Any]:
    if shape["type"] == "Polygon":
        return [_ring(indexes, arcs) for indexes in shape["arcs"]]
    return [[_ring(indexes, arcs) for indexes in polygon] for polygon in shape["arcs"]]


def _ring(indexes: list[int], arcs: list[list[Position]]) -> list[Position]:
    """Return a ring; the index ~i means arc i reversed. Its direction is that of GeoJSON, opposite to the file's."""
    ring: list[Position] = []
    for index in indexes:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring.extend(arc[1:] if ring else arc)  # an arc begins where the previous one ends
    return ring[::-1]
