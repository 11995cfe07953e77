"""Drift of a month against the champion's training trips.

Inputs are compared by the population stability index (PSI; Siddiqi 2006, ch. 8: below 0.1 no change, above 0.25 a
different population), the number of trips by a ratio, and predictions by the champion's error on the month's real trips
relative to its error at evaluation.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from logitrack_assets.eta.artifact import REFERENCE, ModelMetrics, Predictor, RegressionMetrics
from logitrack_assets.eta.dataset import TripDataset, collect_sample, silver_trips
from logitrack_assets.eta.evaluation.metrics import regression_metrics
from logitrack_assets.eta.features import FLEETS, TripBatch, geometry, hour_of_week_kind
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.trip_counts import TripCounts
from logitrack_assets.lake import Lake

SAMPLE_TRIPS = 40_000
"""Trips of a month and fleet that are compared; sampling alone then gives a PSI below 0.005."""
EMPTY_SHARE = 1e-4
"""Lower bound of a bin's share, so that one trip in a new bin does not make the PSI infinite."""

_STRAIGHT_EDGES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 13.0])
_DISTANCE_EDGES = np.array([0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0])

BINS = {
    "hour": 24,
    "weekend": 2,
    "third_of_month": 3,
    "pickup_borough": 8,
    "dropoff_borough": 8,
    "straight_miles": len(_STRAIGHT_EDGES) + 1,
    "distance_miles": len(_DISTANCE_EDGES) + 2,
}
"""Number of bins of each compared input."""


@dataclass(frozen=True)
class DriftThresholds:
    """Limits above which a measure counts as drift.

    Attributes:
        psi: PSI of any single input. Months of 2018 and 2019 stay below 0.03 of each other; March 2020 reaches 0.9
            (its last third is missing), April 0.19 (the evening is).
        volume_ratio: A fleet's trips relative to its median month, or the inverse.
        error_ratio: The champion's MAE relative to its MAE at evaluation. A December's is up to 1.35 times a
            February's; only an increase is drift.
    """

    psi: float = 0.1
    volume_ratio: float = 2.0
    error_ratio: float = 1.4


@dataclass(frozen=True)
class DriftReference:
    """Distributions of the champion's training trips.

    Attributes:
        shares: Counts of a sample's trips by fleet, input and bin.
        volume: Median number of trips per month by fleet.
        judged_mae_minutes: MAE of the zones-only variant at evaluation.
    """

    shares: dict[str, dict[str, list[int]]]
    volume: dict[str, float]
    judged_mae_minutes: float

    @classmethod
    def from_training(cls, sample: TripDataset, counts: TripCounts, metrics: ModelMetrics) -> Self:
        """Return the reference of a training: its sample, its trip counts and its metrics."""
        shares: dict[str, dict[str, list[int]]] = {}
        volume: dict[str, float] = {}
        for code, fleet in enumerate(FLEETS):
            trips_by_month = [count for (_, counted), count in counts.trips.items() if counted == code]
            if trips_by_month:
                rows = sample.batch.take(sample.batch.fleet == code)
                shares[fleet] = {name: histogram.tolist() for name, histogram in histograms(rows).items()}
                volume[fleet] = float(np.median(trips_by_month))
        return cls(shares, volume, metrics.zones.mae_minutes)

    def save(self, path: Path) -> None:
        """Write the reference as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the reference of a JSON file."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(document["shares"], document["volume"], document["judged_mae_minutes"])


@dataclass(frozen=True)
class DriftMeasurement:
    """One measure of a month and fleet with its threshold."""

    fleet: str
    measure: str
    value: float
    threshold: float
    drifted: bool


def find_drift(
    session: SparkSession, lake: Lake, models: ModelRegistry, champion: Predictor, month: str, limits: DriftThresholds
) -> list[DriftMeasurement]:
    """Measure the drift of a silver month for each of its fleets.

    Args:
        session: The Spark session.
        lake: The lake with the month.
        models: The registry that holds the champion's reference.
        champion: The champion.
        month: `YYYY-MM`.
        limits: Limits above which a measure counts as drift.
    """
    reference = DriftReference.load(models.path(champion.version) / REFERENCE)
    measurements = []
    trips = silver_trips(session, [lake.silver(month)])
    for fleet, volume in sorted((row["fleet"], row["count"]) for row in trips.groupBy("fleet").count().collect()):
        sample = collect_sample(trips.where(trips.fleet == fleet), rows=SAMPLE_TRIPS, total=volume, seed=0)
        error = regression_metrics(champion.minutes(sample.batch.without_distance()), sample.minutes)
        measurements += measure_drift(reference, fleet, sample.batch, volume, error, limits)
    return measurements


def measure_drift(
    reference: DriftReference,
    fleet: str,
    trips: TripBatch,
    volume: int,
    error: RegressionMetrics,
    limits: DriftThresholds,
) -> list[DriftMeasurement]:
    """Compare a month of a fleet with the champion's training trips.

    Args:
        reference: The champion's reference.
        fleet: Name of the fleet.
        trips: A random sample of the month's trips.
        volume: Number of all trips of the month.
        error: The champion's zones-only error on the sample.
        limits: Limits above which a measure counts as drift.

    Returns:
        One measurement per input, one of the volume and one of the error; a single drifted `unknown fleet` for a fleet
        absent from training.
    """
    if fleet not in reference.shares:
        return [DriftMeasurement(fleet, "unknown fleet", 1.0, 0.0, drifted=True)]
    found = histograms(trips)
    measurements = []
    for name, expected in reference.shares[fleet].items():
        index = stability_index(np.array(expected, dtype=np.float64), found[name].astype(np.float64))
        measurements.append(DriftMeasurement(fleet, f"psi {name}", index, limits.psi, index > limits.psi))
    usual = reference.volume[fleet]
    ratio = volume / usual
    either_way = max(ratio, 1 / ratio) if ratio > 0 else usual
    exceeded = either_way > limits.volume_ratio
    measurements.append(DriftMeasurement(fleet, "volume ratio", ratio, limits.volume_ratio, exceeded))
    increase = error.mae_minutes / reference.judged_mae_minutes
    exceeded = increase > limits.error_ratio
    measurements.append(DriftMeasurement(fleet, "error ratio", increase, limits.error_ratio, exceeded))
    return measurements


def histograms(trips: TripBatch) -> dict[str, NDArray[np.int64]]:
    """Return the number of trips per bin of each input."""
    return {name: np.bincount(bins, minlength=BINS[name]) for name, bins in binned_inputs(trips).items()}


def binned_inputs(trips: TripBatch) -> dict[str, NDArray[np.int64]]:
    """Return the bin of each trip by input."""
    g = geometry()
    day = (trips.pickup_at.astype("datetime64[D]") - trips.pickup_at.astype("datetime64[M]")).astype(np.int64)
    kind = hour_of_week_kind(trips.pickup_at)
    distance_bin = np.digitize(trips.distance_miles, _DISTANCE_EDGES) + 1
    return {
        "hour": kind % 24,
        "weekend": kind // 24,
        "third_of_month": np.minimum(day // 10, 2),
        "pickup_borough": g.borough[trips.pickup_zone].astype(np.int64),
        "dropoff_borough": g.borough[trips.dropoff_zone].astype(np.int64),
        "straight_miles": np.digitize(g.straight_miles[trips.pickup_zone, trips.dropoff_zone], _STRAIGHT_EDGES),
        "distance_miles": np.where(trips.distance_known, distance_bin, 0),
    }


def stability_index(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the PSI of two histograms (counts or shares) with the same bins; 0 for equal distributions."""
    p, q = (np.maximum(h / max(h.sum(), 1e-12), EMPTY_SHARE) for h in (expected, found))
    return float(np.sum((q - p) * np.log(q / p)))
