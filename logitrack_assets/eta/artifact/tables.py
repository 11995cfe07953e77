"""The numeric tables of a version, stored as `tables.npz`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.manifest import ArtifactError
from logitrack_assets.eta.features import (
    DELAY_FEATURES,
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    PAIR_FEATURES,
    ZONES,
    FeatureTables,
)

_LAYOUT: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "pair": ((ZONES, ZONES, len(PAIR_FEATURES)), np.float32),
    "delay": ((len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), np.float32),
    "support": ((ZONES, ZONES), np.int32),
}


@dataclass(frozen=True)
class Tables:
    """Lookup tables of the features and the support of each zone pair.

    Attributes:
        features: Lookup tables of the features.
        support: int32 (ZONES, ZONES), training trips by pickup and drop-off zone.
    """

    features: FeatureTables
    support: NDArray[np.int32]

    def save(self, path: Path) -> None:
        """Write the tables as a compressed `.npz` file."""
        np.savez_compressed(path, pair=self.features.pair, delay=self.features.delay, support=self.support)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the tables of an `.npz` file.

        Raises:
            ArtifactError: An array has another shape or dtype.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.ascontiguousarray(file[name]) for name in _LAYOUT}
        for name, (shape, dtype) in _LAYOUT.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != dtype:
                expected = f"{np.dtype(dtype)}{shape}"
                raise ArtifactError(f"{path.name}: {name} is {array.dtype}{array.shape}, expected {expected}")
        return cls(FeatureTables(arrays["pair"], arrays["delay"]), arrays["support"])
