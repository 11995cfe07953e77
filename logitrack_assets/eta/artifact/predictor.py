"""The predictor: a version loaded into memory, thread-safe."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.intervals import (
    DEFAULT_LEVEL,
    MAX_LEVEL,
    MIN_LEVEL,
    Intervals,
    interval_groups,
)
from logitrack_assets.eta.artifact.manifest import (
    INTERVALS,
    MODEL,
    TABLES,
    ArtifactError,
    Manifest,
    read_manifest,
    verify_digests,
)
from logitrack_assets.eta.artifact.tables import Tables
from logitrack_assets.eta.features import FLEETS, TripBatch, feature_matrix
from logitrack_assets.eta.variant import Variant

MIN_MINUTES, MAX_MINUTES = 1.0, 180.0  # the durations that the cleaning rules accept
MIN_SUPPORT = 5  # training trips of a zone pair; with fewer a prediction counts as extrapolation
MAX_MONTHS_FROM_TRAINING = 12
"""Months between a pickup and the training months beyond which a prediction counts as extrapolation: a year covers the
publication delay of the trip files, and every season once."""

LEVEL_DIGITS = 6
"""Decimals of a level that count: the log of predictions has it in single precision, from which the same interval must
be computable again."""

MAX_CACHED_LEVELS = 50  # interval factors kept in memory, 9 kB a level

PARALLEL_ROWS = 2_000
"""Batches of at least this many rows are split over the cores; for smaller ones threads cost more than they save."""


@dataclass(frozen=True)
class PredictionBatch:
    """Predictions for a batch of trips, as equally long arrays.

    Attributes:
        minutes: float64, estimated duration.
        base_minutes: float64, the estimate without live correction; equal to `minutes` where there is none.
        low: float64, lower end of the interval in minutes.
        high: float64, upper end of the interval in minutes.
        level: Level of the intervals.
        support: int32, training trips between the two zones.
        extrapolating: bool, whether the support is below MIN_SUPPORT, the fleet is absent from training, or the pickup
            is more than MAX_MONTHS_FROM_TRAINING months before or after the training months.
        distance_used_miles: float32, the planned distance; NaN where the zones-only variant was used.
        distance_given: bool, whether a planned distance was given.
    """

    minutes: NDArray[np.float64]
    base_minutes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    level: float
    support: NDArray[np.int32]
    extrapolating: NDArray[np.bool_]
    distance_used_miles: NDArray[np.float32]
    distance_given: NDArray[np.bool_]

    @property
    def distance_source(self) -> list[str]:
        """`given` or `none` for each trip."""
        return ["given" if given else "none" for given in self.distance_given]


@dataclass(frozen=True)
class Adjustment:
    """How live outcomes change predictions, one entry for each trip.

    Attributes:
        log_factor: float64, log(adjusted / predicted minutes).
        low_scale: float64, factor of the lower tail: of log(lower end / estimate).
        high_scale: float64, factor of the upper tail.
    """

    log_factor: NDArray[np.float64]
    low_scale: NDArray[np.float64]
    high_scale: NDArray[np.float64]


class Adjuster(Protocol):
    """Adjusts predictions by live outcomes (`eta.live`)."""

    def adjust(self, trips: TripBatch, minutes: NDArray[np.float64]) -> Adjustment:
        """Return the adjustment of predicted minutes."""
        ...


def to_minutes(log_minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return minutes within MIN_MINUTES and MAX_MINUTES from log(minutes)."""
    # np.minimum and np.maximum: np.clip costs several microseconds more for the single row of a request
    return _within_limits(np.exp(log_minutes))


def _within_limits(minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    limited: NDArray[np.float64] = np.minimum(np.maximum(minutes, MIN_MINUTES), MAX_MINUTES)
    return limited


class Predictor:
    """A loaded version. Its methods may be called from any thread."""

    def __init__(
        self, manifest: Manifest, session: onnxruntime.InferenceSession, tables: Tables, intervals: Intervals
    ) -> None:
        self.manifest = manifest
        self.version = manifest.version
        self.tables = tables
        self.intervals = intervals
        self._session = session
        self._input = session.get_inputs()[0].name
        # The graph holds the trees of both variants; a call evaluates only those of the requested output.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self.default_fleet = manifest.default_fleet
        self._first_pickup, self._end_of_pickups = _pickup_range(manifest)
        self._fleet_trained = np.array([fleet in manifest.fleets for fleet in FLEETS])
        self._factors_by_level: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Return the predictor of a version's folder, after checking format and digests and a trial prediction.

        Args:
            folder: The version's folder.
            threads: Threads of the ONNX session. One row shared among several threads costs more than on one.

        Raises:
            ArtifactError: A file is missing, altered, of another format, or the trial prediction fails.
        """
        manifest = read_manifest(folder)
        verify_digests(folder, manifest)
        try:
            tables, intervals = Tables.load(folder / TABLES), Intervals.load(folder / INTERVALS)
            predictor = cls(manifest, _open_session(folder / MODEL, threads), tables, intervals)
            predictor._run_trial()
        except ArtifactError as error:
            raise ArtifactError(f"Model {manifest.version} cannot be used: {error}.") from None
        except Exception as error:  # onnxruntime and numpy raise various types for malformed files
            raise ArtifactError(f"Model {manifest.version} cannot be used: {error}") from error
        return predictor

    def _run_trial(self) -> None:
        outputs = {output.name for output in self._session.get_outputs()}
        if not {variant.onnx_output for variant in Variant} <= outputs:
            raise ArtifactError(f"{MODEL} has outputs {sorted(outputs)}")
        trips = TripBatch.from_columns([161, 132], [236, 230], ["2019-06-03T08:30:00"] * 2, [np.nan, 17.0])
        prediction = self.predict(trips)
        if not (np.isfinite(prediction.minutes).all() and (prediction.low < prediction.high).all()):
            raise ArtifactError("the trial prediction is not a finite number")

    def log_minutes(self, matrix: NDArray[np.float32], variant: Variant) -> NDArray[np.float64]:
        """Return the trees' output, log(minutes), for rows of a feature matrix, float64 (rows,)."""
        output = variant.onnx_output

        def run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            predicted: NDArray[np.float32] = self._session.run([output], {self._input: rows}, self._options)[0]
            return predicted.reshape(-1)

        if len(matrix) < PARALLEL_ROWS:
            return run(matrix).astype(np.float64)
        parts = np.array_split(matrix, _usable_cores())
        return np.concatenate(list(_thread_pool().map(run, parts))).astype(np.float64)

    def minutes(self, trips: TripBatch) -> NDArray[np.float64]:
        """Return the estimated minutes, float64 (len(trips),); with distance where a trip has one."""
        matrix = feature_matrix(trips, self.tables.features)
        known = trips.distance_known
        if known.all():
            return to_minutes(self.log_minutes(matrix, Variant.DISTANCE))
        if not known.any():
            return to_minutes(self.log_minutes(matrix, Variant.ZONES))
        logs = np.empty(len(trips), dtype=np.float64)
        logs[known] = self.log_minutes(matrix[known], Variant.DISTANCE)
        logs[~known] = self.log_minutes(matrix[~known], Variant.ZONES)
        return to_minutes(logs)

    def predict(
        self, trips: TripBatch, *, level: float = DEFAULT_LEVEL, adjuster: Adjuster | None = None
    ) -> PredictionBatch:
        """Return predictions with intervals of a level.

        Args:
            trips: The trips.
            level: Level of the intervals.
            adjuster: Live correction; None for the model's own answers.

        Raises:
            ValueError: The level is outside MIN_LEVEL to MAX_LEVEL.
        """
        if not MIN_LEVEL <= level <= MAX_LEVEL:
            raise ValueError(f"level must be between {MIN_LEVEL} and {MAX_LEVEL}, not {level}")
        level = round(level, LEVEL_DIGITS)
        base = self.minutes(trips)
        groups = interval_groups(trips, base)
        low_factors, high_factors = self.interval_factors(level)
        minutes, low, high = base, low_factors[groups], high_factors[groups]
        if adjuster is not None:
            adjustment = adjuster.adjust(trips, base)
            minutes = _within_limits(base * np.exp(adjustment.log_factor))
            low, high = low**adjustment.low_scale, high**adjustment.high_scale
        support = self.tables.support[trips.pickup_zone, trips.dropoff_zone]
        known = trips.distance_known
        return PredictionBatch(
            minutes=minutes,
            base_minutes=base,
            low=minutes * low,
            high=minutes * high,
            level=level,
            support=support,
            extrapolating=(support < MIN_SUPPORT)
            | ~self._fleet_trained[trips.fleet]
            | (trips.pickup_at < self._first_pickup)
            | (trips.pickup_at >= self._end_of_pickups),
            distance_used_miles=np.where(known, trips.distance_miles, np.float32(np.nan)),
            distance_given=known,
        )

    def interval_factors(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the interval's ends as factors of the predicted minutes by group; see `Intervals.factors`."""
        factors = self._factors_by_level.get(level)
        if factors is None:
            factors = self.intervals.factors(level)
            if len(self._factors_by_level) < MAX_CACHED_LEVELS:
                self._factors_by_level[level] = factors
        return factors

    def quantiles(
        self, trips: TripBatch, probabilities: NDArray[np.float64], *, adjuster: Adjuster | None = None
    ) -> NDArray[np.float64]:
        """Return the quantiles of each trip's duration in minutes, float64 (len(trips), len(probabilities)).

        With an adjuster they are those of the adjusted durations.

        Raises:
            ValueError: A probability is outside the calibrated range.
        """
        stored = self.intervals.probabilities
        requested = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
        if not ((requested >= stored[0] - 1e-9) & (requested <= stored[-1] + 1e-9)).all():
            raise ValueError(f"probabilities must be between {stored[0]:g} and {stored[-1]:g}")
        minutes = self.minutes(trips)
        groups = interval_groups(trips, minutes)
        logs = np.stack([self.intervals.log_ratios(groups, float(probability)) for probability in requested], axis=1)
        if adjuster is not None:
            adjustment = adjuster.adjust(trips, minutes)
            logs = logs * np.where(logs < 0, adjustment.low_scale[:, None], adjustment.high_scale[:, None])
            minutes = _within_limits(minutes * np.exp(adjustment.log_factor))
        scaled: NDArray[np.float64] = minutes[:, None] * np.exp(logs)
        return scaled


def _pickup_range(manifest: Manifest) -> tuple[np.datetime64, np.datetime64]:
    """Return the first pickup that is near the training months, and the end of that range, datetime64[s]."""
    first = np.datetime64(min([*manifest.training_months, manifest.trained_through]), "M")
    last = np.datetime64(manifest.trained_through, "M")
    return (
        (first - MAX_MONTHS_FROM_TRAINING).astype("datetime64[s]"),
        (last + 1 + MAX_MONTHS_FROM_TRAINING).astype("datetime64[s]"),
    )


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def _thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_usable_cores(), thread_name_prefix="trees")


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
