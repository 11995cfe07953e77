"""Metrics by slice: predicted length, hour, airport and fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import GROUP_SHAPE, HOUR_BANDS, LENGTH_BANDS, SliceMetrics, hour_bands, length_bands
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.features import FLEETS, is_airport_trip
from logitrack_assets.eta.variant import Variant

MIN_SLICE_TRIPS = 1_000
"""Below this number of trips a slice's coverage is mostly noise: the standard error at 80% exceeds 1.3 points."""

_HOUR_NAMES = [f"{first:02d} to {end:02d}" for first, end in zip(HOUR_BANDS, [*HOUR_BANDS[1:], 24], strict=True)]
_LENGTH_NAMES = [
    f"{int(first)} to {int(end)}" for first, end in zip(LENGTH_BANDS, [*LENGTH_BANDS[1:], 180], strict=True)
]


def slice_metrics(evaluated: EvaluatedTrips, variant: Variant) -> list[SliceMetrics]:
    """Return errors, coverage and interval width of every slice that has trips."""
    error = np.abs(evaluated.predicted - evaluated.real)
    lookup_error = np.abs(evaluated.lookup - evaluated.real)
    width, covered = evaluated.high - evaluated.low, evaluated.covered
    return [
        SliceMetrics(
            by=by,
            value=value,
            distance_known=variant is Variant.DISTANCE,
            trips=int(rows.sum()),
            mae_minutes=float(error[rows].mean()),
            lookup_mae_minutes=float(lookup_error[rows].mean()),
            coverage=float(covered[rows].mean()),
            width_minutes=float(width[rows].mean()),
        )
        for by, value, rows in _slices(evaluated)
        if rows.any()
    ]


def groups_of_slice(part: SliceMetrics) -> NDArray[np.bool_]:
    """Return which of the flattened interval groups of `GROUP_SHAPE` a slice consists of."""
    known, fleet, airport, hour, length = np.unravel_index(np.arange(int(np.prod(GROUP_SHAPE))), GROUP_SHAPE)
    indices: dict[str, tuple[NDArray[np.int64], Sequence[str]]] = {
        "predicted minutes": (length, _LENGTH_NAMES),
        "hour": (hour, _HOUR_NAMES),
        "airport": (airport, ("no", "yes")),
        "fleet": (fleet, FLEETS),
    }
    index, names = indices[part.by]
    groups: NDArray[np.bool_] = (index == names.index(part.value)) & (known == part.distance_known)
    return groups


def _slices(evaluated: EvaluatedTrips) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield the property, its value and the rows of every slice."""
    length = length_bands(evaluated.predicted)
    for band, name in enumerate(_LENGTH_NAMES):
        yield "predicted minutes", name, length == band
    hour = hour_bands(evaluated.trips.pickup_at)
    for band, name in enumerate(_HOUR_NAMES):
        yield "hour", name, hour == band
    airport = is_airport_trip(evaluated.trips)
    yield "airport", "yes", airport
    yield "airport", "no", ~airport
    for code, fleet in enumerate(FLEETS):
        yield "fleet", fleet, evaluated.trips.fleet == code
