"""Drift of a silver month: its trips, read by Spark, compared with what a model version was trained on."""

from __future__ import annotations

from pyspark.sql import SparkSession

from logitrack_assets.eta.artifact.predictor import REFERENCE, Predictor
from logitrack_assets.eta.drift import DriftMeasurement, Reference, Thresholds, measure
from logitrack_assets.eta.evaluation.metrics import errors
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.fitting import collect_sample, silver_trips
from logitrack_assets.lake import Lake

MAX_SAMPLE_TRIPS = 40_000
"""Trips of a month and fleet that are compared. Sampling alone then keeps the stability index below 0.005."""


def find_drift(
    session: SparkSession, lake: Lake, models: ModelRegistry, champion: Predictor, month: str, thresholds: Thresholds
) -> list[DriftMeasurement]:
    """Return the measurements of every fleet in a silver month.

    Args:
        session: Spark.
        lake: The lake with the month.
        models: The registry with the reference of the champion.
        champion: The model whose error on the month is measured.
        month: `YYYY-MM`.
        thresholds: Limits above which a measure counts as drift.
    """
    reference = Reference.load(models.path(champion.version) / REFERENCE)
    measurements: list[DriftMeasurement] = []
    trips = silver_trips(session, [lake.silver(month)])
    for fleet, volume in sorted((row["fleet"], row["count"]) for row in trips.groupBy("fleet").count().collect()):
        sample = collect_sample(trips.where(trips.fleet == fleet), rows=MAX_SAMPLE_TRIPS, total=volume, seed=0)
        error = errors(champion.minutes(sample.batch.without_distance()), sample.minutes)
        measurements += measure(reference, fleet, sample.batch, volume, error, thresholds)
    return measurements
