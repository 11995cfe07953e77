"""The stages of the live correction, and the cell of each stage that a trip falls into."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import LENGTH_BANDS, length_bands
from logitrack_assets.eta.features import HOURS_OF_WEEK_KINDS, ZONES, TripBatch, hour_of_week_kind

DAY_SECONDS = 86_400.0
_BAND_HOURS = 3


@dataclass(frozen=True)
class Stage:
    """One stage: a table of decayed means.

    Attributes:
        name: For people.
        half_life_days: Time after which the weight of an outcome halves.
        prior: Shrinkage constant in trips: a cell with this many (decayed) trips counts half.
        cells: Size of the table.
    """

    name: str
    half_life_days: float
    prior: float
    cells: int


STAGES = (
    Stage("city", 2.0, 30.0, 1),
    Stage("predicted length", 14.0, 60.0, len(LENGTH_BANDS)),
    Stage("hour band", 14.0, 60.0, HOURS_OF_WEEK_KINDS // _BAND_HOURS),
    Stage("pickup zone", 56.0, 30.0, ZONES),
    Stage("drop-off zone", 56.0, 30.0, ZONES),
    Stage("zone pair", 56.0, 8.0, ZONES * ZONES),
    Stage("city, last hours", 2.0 / 24, 60.0, 1),
)
"""In the order in which they explain the residual: each is the mean of what the stages before it left."""

CITY_STAGES = tuple(number for number, stage in enumerate(STAGES) if stage.cells == 1)
"""Indices of the stages that have one cell for all trips."""

CELLS = sum(stage.cells for stage in STAGES)
OFFSETS = (0, *accumulate(stage.cells for stage in STAGES[:-1]))
"""First cell of each stage in the table of all stages."""

HALF_LIFE_SECONDS = np.array([stage.half_life_days * DAY_SECONDS for stage in STAGES])
PRIOR = np.array([stage.prior for stage in STAGES])


def cells_of_trips(trips: TripBatch, minutes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cell of each trip in each stage, int64 (len(trips), len(STAGES)).

    Args:
        trips: The trips.
        minutes: The model's uncorrected estimates, which define the band of predicted length.
    """
    cells = np.zeros((len(trips), len(STAGES)), dtype=np.int64)
    pickup, dropoff = trips.pickup_zone.astype(np.int64), trips.dropoff_zone.astype(np.int64)
    cells[:, 1] = length_bands(minutes)
    cells[:, 2] = hour_of_week_kind(trips.pickup_at) // _BAND_HOURS
    cells[:, 3] = pickup
    cells[:, 4] = dropoff
    cells[:, 5] = pickup * ZONES + dropoff
    cells += _OFFSETS
    return cells


_OFFSETS = np.array(OFFSETS, dtype=np.int64)
