"""A bounded sample of the newest month that travels with a version: what checks compare it by, now and later.

It holds the trips, what the judged model (trained through the month before) and the lookup answered, and what the
published trees answered in training's own way, for the serving path to be compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.training.fitting import TripDataset

HOLDOUT_FILE = "held_out.npz"


@dataclass(frozen=True)
class Holdout:
    """Equally long arrays; minutes are float64.

    judged_zones, judged_distance, lookup: answers that never saw these trips. The second means nothing where the
        trip's distance is not known.
    trained_zones, trained_distance: the published trees, scored by the estimator that trained them, on features that
        Spark computed.
    """

    MAX_TRIPS: ClassVar[int] = 20_000

    trips: TripDataset
    judged_zones: NDArray[np.float64]
    judged_distance: NDArray[np.float64]
    lookup: NDArray[np.float64]
    trained_zones: NDArray[np.float64]
    trained_distance: NDArray[np.float64]

    def save(self, path: Path) -> None:
        batch = self.trips.batch
        np.savez_compressed(
            path,
            row=self.trips.row,
            real=self.trips.minutes,
            pickup_zone=batch.pickup_zone,
            dropoff_zone=batch.dropoff_zone,
            pickup_at=batch.pickup_at.astype(np.int64),
            distance_miles=batch.distance_miles,
            fleet=batch.fleet,
            judged_zones=self.judged_zones,
            judged_distance=self.judged_distance,
            lookup=self.lookup,
            trained_zones=self.trained_zones,
            trained_distance=self.trained_distance,
        )

    def take(self, rows: NDArray[np.int64]) -> Holdout:
        """The chosen rows."""
        return Holdout(
            self.trips.take(rows),
            self.judged_zones[rows],
            self.judged_distance[rows],
            self.lookup[rows],
            self.trained_zones[rows],
            self.trained_distance[rows],
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as arrays:
            a = {name: arrays[name] for name in arrays.files}
        batch = TripBatch(
            a["pickup_zone"],
            a["dropoff_zone"],
            a["pickup_at"].astype("datetime64[s]"),
            a["distance_miles"],
            a["fleet"],
        )
        return cls(
            TripDataset(a["row"], batch, a["real"]),
            a["judged_zones"],
            a["judged_distance"],
            a["lookup"],
            a["trained_zones"],
            a["trained_distance"],
        )
