"""Whether a new month still looks like the months that the champion learned from.

Inputs are compared by the population stability index (PSI; Siddiqi 2006, ch. 8: below 0.1 nothing to see, above 0.25
another population), the number of trips by a ratio, and answers by the champion's error on the month's real trips
against its own error when it was judged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.predictor import ModelMetrics, RegressionMetrics
from logitrack_assets.eta.features import FLEETS, TripBatch, geometry, hour_of_week_kind
from logitrack_assets.eta.training.fitting import TripCounts, TripDataset

EMPTY_SHARE = 1e-4
"""Share that an empty bin is given, so that one trip in a new bin does not make the index infinite."""

_STRAIGHT_EDGES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0])
_DISTANCE_EDGES = np.array([0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0])


@dataclass(frozen=True)
class Thresholds:
    """Where a measure counts as drift.

    psi: of any one input. Months of 2018 and 2019 stay below 0.03 of each other; March 2020 reaches 0.9 (its last
        third is missing), April 0.19 (the evening is).
    volume_ratio: a fleet's trips over its usual month's, or the other way round.
    error_ratio: the champion's MAE over its MAE when judged. A December's is up to 1.35 times a February's; only an
        error that grew is drift.
    """

    psi: float = 0.1
    volume_ratio: float = 2.0
    error_ratio: float = 1.4


def binned(trips: TripBatch) -> dict[str, NDArray[np.int64]]:
    """For each input, the number of the bin that each trip falls into."""
    g = geometry()
    day = (trips.pickup_at.astype("datetime64[D]") - trips.pickup_at.astype("datetime64[M]")).astype(np.int64)
    kind = hour_of_week_kind(trips.pickup_at)
    known = trips.distance_miles > 0
    return {
        "hour": kind % 24,
        "weekend": kind // 24,
        "third_of_month": np.minimum(day // 10, 2),
        "pickup_borough": g.borough[trips.pickup_zone].astype(np.int64),
        "dropoff_borough": g.borough[trips.dropoff_zone].astype(np.int64),
        "straight_miles": np.digitize(g.straight_miles[trips.pickup_zone, trips.dropoff_zone], _STRAIGHT_EDGES),
        "distance_miles": np.where(known, np.digitize(trips.distance_miles, _DISTANCE_EDGES) + 1, 0),
    }


BINS = {
    "hour": 24,
    "weekend": 2,
    "third_of_month": 3,
    "pickup_borough": 8,
    "dropoff_borough": 8,
    "straight_miles": len(_STRAIGHT_EDGES) + 1,
    "distance_miles": len(_DISTANCE_EDGES) + 2,
}


def stability_index(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """PSI of two histograms of counts or shares with the same bins; 0 when they are alike."""
    p, q = (np.maximum(h / max(h.sum(), 1e-12), EMPTY_SHARE) for h in (expected, found))
    return float(np.sum((q - p) * np.log(q / p)))


@dataclass(frozen=True)
class Reference:
    """What the champion learned from, as drift remembers it.

    shares: by fleet and input, counts of a sample's trips by bin.
    volume: by fleet, the median number of trips a month.
    judged_mae_minutes: the champion's error when it was judged, zones alone.
    """

    shares: dict[str, dict[str, list[int]]]
    volume: dict[str, float]
    judged_mae_minutes: float

    @classmethod
    def from_training(cls, sample: TripDataset, census: TripCounts, metrics: ModelMetrics) -> Self:
        shares: dict[str, dict[str, list[int]]] = {}
        volume: dict[str, float] = {}
        for code, fleet in enumerate(FLEETS):
            counts = [count for (_, at), count in census.trips.items() if at == code]
            if counts:
                rows = sample.batch.take(sample.batch.fleet == code)
                shares[fleet] = {name: counts_of.tolist() for name, counts_of in histograms(rows).items()}
                volume[fleet] = float(np.median(counts))
        return cls(shares, volume, metrics.zones.mae_minutes)

    def save(self, path: Path) -> None:
        document: dict[str, Any] = {
            "shares": self.shares,
            "volume": self.volume,
            "judged_mae_minutes": self.judged_mae_minutes,
        }
        path.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(document["shares"], document["volume"], document["judged_mae_minutes"])


def histograms(trips: TripBatch) -> dict[str, NDArray[np.int64]]:
    """Counts of trips by bin for each input."""
    return {name: np.bincount(bins, minlength=BINS[name]) for name, bins in binned(trips).items()}


@dataclass(frozen=True)
class DriftMeasurement:
    """One measure of a month and a fleet beside its threshold."""

    fleet: str
    measure: str
    value: float
    threshold: float
    drifted: bool


def measure(
    reference: Reference, fleet: str, trips: TripBatch, volume: int, error: RegressionMetrics, limits: Thresholds
) -> list[DriftMeasurement]:
    """Compares a month of a fleet with what the champion knows. trips: a fair sample; volume: all of them.

    A fleet that the champion never saw drifts as a whole: its one finding says so.
    """
    if fleet not in reference.shares:
        return [DriftMeasurement(fleet, "unknown fleet", 1.0, 0.0, drifted=True)]
    found = histograms(trips)
    findings = []
    for name, expected in reference.shares[fleet].items():
        index = stability_index(np.array(expected, dtype=np.float64), found[name].astype(np.float64))
        findings.append(DriftMeasurement(fleet, f"psi {name}", index, limits.psi, index > limits.psi))
    ratio = volume / reference.volume[fleet]
    away = max(ratio, 1 / ratio) if ratio > 0 else float(reference.volume[fleet])
    findings.append(DriftMeasurement(fleet, "volume ratio", ratio, limits.volume_ratio, away > limits.volume_ratio))
    worse = error.mae_minutes / reference.judged_mae_minutes
    findings.append(DriftMeasurement(fleet, "error ratio", worse, limits.error_ratio, worse > limits.error_ratio))
    return findings
