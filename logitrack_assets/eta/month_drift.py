"""Drift of a silver month: its trips, read by Spark, compared with what a model version was trained on."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from logitrack_assets.eta.artifact.predictor import Predictor
from logitrack_assets.eta.drift import DriftMeasurement, Reference, Thresholds, measure
from logitrack_assets.eta.evaluation.metrics import errors
from logitrack_assets.eta.training.fitting import collect_sample, silver_trips

MAX_SAMPLE_TRIPS = 40_000
"""Trips of a month and fleet that are compared. Sampling alone then keeps the stability index below 0.005."""


def measure_month(
    session: SparkSession, silver: Path, champion: Predictor, reference: Reference, thresholds: Thresholds
) -> list[DriftMeasurement]:
    """Return the measurements of every fleet in a silver month.

    Args:
        session: Spark.
        silver: Folder of the month's trips.
        champion: The model whose error on the month is measured.
        reference: What that model was trained on.
        thresholds: Limits above which a measure counts as drift.
    """
    measurements: list[DriftMeasurement] = []
    trips = silver_trips(session, [silver])
    for fleet, volume in sorted((row["fleet"], row["count"]) for row in trips.groupBy("fleet").count().collect()):
        sample = collect_sample(trips.where(trips.fleet == fleet), rows=MAX_SAMPLE_TRIPS, total=volume, seed=0)
        error = errors(champion.minutes(sample.batch.without_distance()), sample.minutes)
        measurements += measure(reference, fleet, sample.batch, volume, error, thresholds)
    return measurements
