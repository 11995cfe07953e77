"""The two variants of the model: estimates from the zones only, and with the planned distance as well."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.features import TripBatch


class Variant(StrEnum):
    """A variant of the model; the values are part of persisted names (metrics, arrays, ONNX outputs)."""

    ZONES = "zones"
    DISTANCE = "distance"

    @property
    def label(self) -> str:
        """The name of the variant for people."""
        return "with distance" if self is Variant.DISTANCE else "zones only"

    @property
    def onnx_output(self) -> str:
        """The graph output with log(minutes) of this variant."""
        return f"log_minutes_{self.value}"

    def mask(self, trips: TripBatch) -> NDArray[np.bool_]:
        """Return which trips the variant applies to: all, or those with a planned distance."""
        return trips.distance_known if self is Variant.DISTANCE else np.ones(len(trips), dtype=np.bool_)

    def inputs(self, trips: TripBatch) -> TripBatch:
        """Return the trips as the variant receives them: with or without the planned distance."""
        return trips if self is Variant.DISTANCE else trips.without_distance()
