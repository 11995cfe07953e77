"""The holdout: a bounded sample of the newest month that is published with a version, for gates to compare.

It holds the trips, the predictions of the evaluation model (trained through the month before) and of the baseline, and
the published trees' predictions on the training path, which the serving path must reproduce.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.variant import Variant

HOLDOUT_FILE = "held_out.npz"


@dataclass(frozen=True)
class Holdout:
    """Held-out trips with predictions, as equally long arrays of float64 minutes.

    Attributes:
        MAX_TRIPS: Upper bound of the number of trips.
        trips: The trips.
        evaluated: Predictions of the evaluation model by variant. Those of the variant with distance are meaningless
            where the trip's distance is unknown.
        lookup: Predictions of the baseline.
        published: Predictions of the published trees by variant, by the estimator that trained them, on features that
            Spark computed.
    """

    MAX_TRIPS: ClassVar[int] = 20_000

    trips: TripDataset
    evaluated: dict[Variant, NDArray[np.float64]]
    lookup: NDArray[np.float64]
    published: dict[Variant, NDArray[np.float64]]

    def save(self, path: Path) -> None:
        """Write the holdout as a compressed `.npz` file."""
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
            judged_zones=self.evaluated[Variant.ZONES],
            judged_distance=self.evaluated[Variant.DISTANCE],
            lookup=self.lookup,
            trained_zones=self.published[Variant.ZONES],
            trained_distance=self.published[Variant.DISTANCE],
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the holdout of an `.npz` file.

        Raises:
            KeyError: An array is missing.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        batch = TripBatch(
            arrays["pickup_zone"],
            arrays["dropoff_zone"],
            arrays["pickup_at"].astype("datetime64[s]"),
            arrays["distance_miles"],
            arrays["fleet"],
        )
        return cls(
            TripDataset(arrays["row"], batch, arrays["real"]),
            {variant: arrays[f"judged_{variant}"] for variant in Variant},
            arrays["lookup"],
            {variant: arrays[f"trained_{variant}"] for variant in Variant},
        )

    def take(self, rows: NDArray[np.int64] | slice) -> Holdout:
        """Return the selected rows."""
        return Holdout(
            self.trips.take(rows),
            {variant: minutes[rows] for variant, minutes in self.evaluated.items()},
            self.lookup[rows],
            {variant: minutes[rows] for variant, minutes in self.published.items()},
        )
