"""The model as a folder of inert files, and the answers it gives.

    model.onnx      trees for zones alone and for zones with a distance, as one graph with two outputs
    tables.npz      what features are looked up in, and the trips behind each zone pair
    intervals.json  quantiles of the residual by group, from months after the training rows
    manifest.json   format, features, months with their bronze digests, metrics, libraries, and a digest of
                    every other file
    reference.json  the distributions of the training trips that drift is measured against
    card.md         the same for a person

Nothing in it is code or pickle. This module imports light: numpy, onnxruntime and pydantic.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.features import (
    AIRPORTS,
    DELAY_FEATURES,
    FEATURES,
    FLEETS,
    HOURS_OF_WEEK_KINDS,
    PAIR_FEATURES,
    ZONES,
    FeatureTables,
    TripBatch,
    feature_matrix,
)

FORMAT = 1
MODEL, TABLES, INTERVALS, MANIFEST, REFERENCE, CARD = (
    "model.onnx",
    "tables.npz",
    "intervals.json",
    "manifest.json",
    "reference.json",
    "card.md",
)
ZONES_OUTPUT, DISTANCE_OUTPUT = "log_minutes_zones", "log_minutes_distance"
MIN_MINUTES, MAX_MINUTES = 1.0, 180.0  # what counts as a trip, so what can be the answer
MIN_SUPPORT = 5  # trips between two zones; with fewer the answer rests on other pairs
MIN_LEVEL, MAX_LEVEL = 0.5, 0.95
DEFAULT_LEVEL = 0.8


MAX_CACHED_LEVELS = 50  # whose intervals are remembered, 9 kB each; hardly anybody asks for more than three

PARALLEL_ROWS = 2_000
"""From here on a batch is spread over the cores; below that, starting threads costs what it saves."""


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="trees")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ArtifactError(LogitrackError):
    """A model folder that cannot be trusted or understood; the message is one clear sentence."""


class TrainingMonth(BaseModel):
    """A month of a fleet that a version was made from. `bronze_sha256` is the digest of the file as published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    month: str
    fleet: str
    trips: int
    bronze_sha256: str | None


class RegressionMetrics(BaseModel):
    """How far answers were from real durations: minutes, shares (r2, mape), and over how many trips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trips: int
    mae_minutes: float
    rmse_minutes: float
    r2: float
    mape: float


class SliceMetrics(BaseModel):
    """Errors and coverage of one part of the judged trips, told apart by what is known when one asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    value: str
    distance_known: bool
    trips: int
    mae_minutes: float
    lookup_mae_minutes: float
    coverage: float
    width_minutes: float


class ModelMetrics(BaseModel):
    """What the judged model reached on months after its training rows, beside the pair-hour lookup.

    coverage and width_minutes: of the interval of `level`, for answers without and with the planned distance, on
        every other trip of the judged month, with tables made as the published ones are but without those trips.
    coverage_forward: with tables from the months before the judged one alone; far from the level only where the
        judged month was unlike them.
    calibrated_on: where the published tables come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zones: RegressionMetrics
    distance: RegressionMetrics
    lookup: RegressionMetrics
    level: float
    coverage_zones: float
    coverage_distance: float
    width_minutes_zones: float
    width_minutes_distance: float
    coverage_forward_zones: float
    coverage_forward_distance: float
    calibrated_on: list[str]
    slices: list[SliceMetrics]

    @property
    def mae_minutes(self) -> float:
        """Of answers to questions without a distance: the usual ones."""
        return self.zones.mae_minutes


class Manifest(BaseModel):
    """What a version is and what it was made from, as `manifest.json` says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    version: str
    created_at: datetime
    estimator: str
    seed: int
    recipe: dict[str, Any]
    """Every choice that shaped the trees: window, target, number of trees …"""
    features: dict[str, str]
    """Feature names in the matrix's order, with their types."""
    fleets: list[str]
    training: list[TrainingMonth]
    trained_through: str
    """The newest training month, `YYYY-MM`."""
    judged_on: list[str]
    """The months that metrics and intervals come from; never among the rows that the judged trees saw."""
    metrics: ModelMetrics
    """Of the judged model: the same recipe, trained on the months before `judged_on`."""
    levels: list[float]
    """Lowest and highest level of an interval."""
    libraries: dict[str, str]
    files: dict[str, str]
    """SHA-256 of every other file of the folder."""

    @property
    def training_months(self) -> list[str]:
        return sorted({month.month for month in self.training})


@dataclass(frozen=True)
class PredictionBatch:
    """Answers to a batch, as equally long arrays.

    minutes: float64, the expected duration (the median: as many trips are longer as are shorter).
    low, high: float64, the interval in minutes that holds the real duration with probability `level`.
    support: int32, training trips between the two zones.
    extrapolating: bool, whether hardly any trips stand behind the answer, or none of this fleet.
    distance_used_miles: float32, the planned distance; NaN where none was given and zones alone answered.
    distance_given: bool.
    """

    minutes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    level: float
    support: NDArray[np.int32]
    extrapolating: NDArray[np.bool_]
    distance_used_miles: NDArray[np.float32]
    distance_given: NDArray[np.bool_]

    @property
    def distance_source(self) -> list[str]:
        """'given' or 'none' for each trip."""
        return ["given" if given else "none" for given in self.distance_given]


@dataclass(frozen=True)
class Tables:
    """Everything numeric that travels beside the trees.

    support: int32 (ZONES, ZONES), training trips by pickup and drop-off zone.
    """

    features: FeatureTables
    support: NDArray[np.int32]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, pair=self.features.pair, delay=self.features.delay, support=self.support)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as arrays:
            pair, delay, support = arrays["pair"], arrays["delay"], arrays["support"]
        expected = {
            "pair": (pair, (ZONES, ZONES, len(PAIR_FEATURES)), np.float32),
            "delay": (delay, (len(FLEETS), HOURS_OF_WEEK_KINDS, len(DELAY_FEATURES)), np.float32),
            "support": (support, (ZONES, ZONES), np.int32),
        }
        for name, (array, shape, kind) in expected.items():
            if array.shape != shape or array.dtype != kind:
                raise ArtifactError(f"{path.name}: {name} is {array.dtype}{array.shape}, not {kind}{shape}")
        return cls(FeatureTables(np.ascontiguousarray(pair), np.ascontiguousarray(delay)), support)


HOUR_BANDS = (0, 6, 7, 9, 12, 15, 18, 20, 22)  # first hours of the bands
LENGTH_BANDS = (0.0, 5.0, 8.0, 11.0, 15.0, 20.0, 28.0, 40.0)  # predicted minutes where bands begin
GROUP_SHAPE = (2, len(FLEETS), 2, len(HOUR_BANDS), len(LENGTH_BANDS))
"""Distance known, fleet, airport, hour band, length band: all of it known when the question is asked."""

_HOUR_BAND = np.searchsorted(np.array(HOUR_BANDS), np.arange(24), side="right") - 1
_LENGTH_EDGES = np.array(LENGTH_BANDS[1:])
_AIRPORT = np.isin(np.arange(ZONES), AIRPORTS).astype(np.int64)


def interval_groups(trips: TripBatch, minutes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index into the flattened groups of `GROUP_SHAPE` for each trip, given its predicted minutes."""
    known = (trips.distance_miles > 0).astype(np.int64)
    airport = _AIRPORT[trips.pickup_zone] | _AIRPORT[trips.dropoff_zone]
    hour = _HOUR_BAND[trips.pickup_at.astype(np.int64) % 86400 // 3600]
    length = np.searchsorted(_LENGTH_EDGES, minutes, side="right")
    _, fleets, airports, hours, lengths = GROUP_SHAPE
    return (((known * fleets + trips.fleet) * airports + airport) * hours + hour) * lengths + length


@dataclass(frozen=True)
class Intervals:
    """Quantiles of log(real / predicted minutes) by group.

    probabilities: float64 (p,), ascending, symmetric about 0.5.
    row_of_group: int64 (groups,), which row of `quantiles` a group uses: its own, or that of the wider group it
        falls back to where it had few trips.
    quantiles: float64 (rows, p), ascending along p.
    """

    probabilities: NDArray[np.float64]
    row_of_group: NDArray[np.int64]
    quantiles: NDArray[np.float64]

    def save(self, path: Path) -> None:
        document = {
            "about": "quantiles of log(real / predicted minutes); row_of_group is indexed by distance known, "
            "fleet, airport, hour band, length band",
            "group_shape": GROUP_SHAPE,
            "hour_bands": HOUR_BANDS,
            "length_bands": LENGTH_BANDS,
            "probabilities": self.probabilities.tolist(),
            "row_of_group": self.row_of_group.tolist(),
            "quantiles": np.round(self.quantiles, 6).tolist(),
        }
        path.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        document = json.loads(path.read_text(encoding="utf-8"))
        if (
            tuple(document["group_shape"]) != GROUP_SHAPE
            or tuple(document["hour_bands"]) != HOUR_BANDS
            or tuple(document["length_bands"]) != LENGTH_BANDS
        ):
            raise ArtifactError(f"{path.name}: groups are cut otherwise than this program cuts them")
        probabilities = np.array(document["probabilities"], dtype=np.float64)
        rows = np.array(document["row_of_group"], dtype=np.int64)
        quantiles = np.array(document["quantiles"], dtype=np.float64)
        if quantiles.ndim != 2 or quantiles.shape[1] != len(probabilities) or not np.isfinite(quantiles).all():
            raise ArtifactError(f"{path.name}: quantiles do not fit their probabilities")
        if rows.shape != (int(np.prod(GROUP_SHAPE)),) or np.min(rows) < 0 or np.max(rows) >= len(quantiles):
            raise ArtifactError(f"{path.name}: a group has no quantiles")
        return cls(probabilities, rows, quantiles)

    def at(self, groups: NDArray[np.int64], probability: float) -> NDArray[np.float64]:
        """The quantile of log(real / predicted) at a probability, for each group; between stored
        probabilities it is interpolated, beyond them the outermost is used."""
        stored = self.probabilities
        right = int(np.searchsorted(stored, probability - 1e-9))
        if right == 0 or right == len(stored) or abs(stored[right] - probability) < 1e-9:
            column = self.quantiles[:, min(right, len(stored) - 1)]
        else:
            share = (probability - stored[right - 1]) / (stored[right] - stored[right - 1])
            column = (1 - share) * self.quantiles[:, right - 1] + share * self.quantiles[:, right]
        return column[self.row_of_group[groups]]

    def shares(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of the interval of a level as shares of the expected minutes, float64 (groups,) each: at most 1 and at
        least 1, for the interval lies around what is expected."""
        tail, groups = (1 - level) / 2, np.arange(len(self.row_of_group))
        low, high = np.exp(self.at(groups, tail)), np.exp(self.at(groups, 1 - tail))
        return np.minimum(low, 1.0), np.maximum(high, 1.0)


class Predictor:
    """A loaded version: answers questions, from any thread."""

    def __init__(
        self, manifest: Manifest, session: onnxruntime.InferenceSession, tables: Tables, intervals: Intervals
    ) -> None:
        self.manifest = manifest
        self.version = manifest.version
        self.tables = tables
        self.intervals = intervals
        self._session = session
        self._input = session.get_inputs()[0].name
        # The graph holds two forests; each call walks only the one that it asks for.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._fleet_known = np.array([fleet in manifest.fleets for fleet in FLEETS])
        self._shares_of_level: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Reads a version's folder, after its format and every file's digest were found right, and asks it one
        question.

        Raises:
            ArtifactError: anything missing, altered, of another format, or that does not answer.
        """
        manifest = read_manifest(folder)
        verify_digests(folder, manifest)
        try:
            tables, intervals = Tables.load(folder / TABLES), Intervals.load(folder / INTERVALS)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
            artifact = cls(manifest, session, tables, intervals)
            artifact._smoke()
        except ArtifactError as error:
            raise ArtifactError(f"Model {manifest.version} cannot be used: {error}.") from None
        except Exception as error:  # onnxruntime and numpy raise their own kinds for files that are no model
            raise ArtifactError(f"Model {manifest.version} cannot be used: {error}") from error
        return artifact

    def _smoke(self) -> None:
        outputs = {output.name for output in self._session.get_outputs()}
        if not {ZONES_OUTPUT, DISTANCE_OUTPUT} <= outputs:
            raise ArtifactError(f"{MODEL} has outputs {sorted(outputs)}")
        trips = TripBatch.from_columns([161, 132], [236, 230], ["2019-06-03T08:30:00"] * 2, [np.nan, 17.0])
        answer = self.predict(trips)
        if not (np.isfinite(answer.minutes).all() and (answer.low < answer.high).all()):
            raise ArtifactError("its answer to a simple question is no number")

    def log_minutes(self, matrix: NDArray[np.float32], *, with_distance: bool) -> NDArray[np.float64]:
        """What the trees say, log(minutes), for rows of a feature matrix, float64 (rows,)."""
        output = DISTANCE_OUTPUT if with_distance else ZONES_OUTPUT

        def run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._session.run([output], {self._input: rows}, self._options)[0].reshape(-1)

        if len(matrix) < PARALLEL_ROWS:
            return run(matrix).astype(np.float64)
        # The session itself has one thread, for sharing one row among several costs more than the row.
        parts = np.array_split(matrix, _cores())
        return np.concatenate(list(_threads().map(run, parts))).astype(np.float64)

    def minutes(self, trips: TripBatch) -> NDArray[np.float64]:
        """Expected minutes, float64 (len(trips),)."""
        matrix = feature_matrix(trips, self.tables.features)
        known = trips.distance_miles > 0
        if known.all():
            logs = self.log_minutes(matrix, with_distance=True)
        elif not known.any():
            logs = self.log_minutes(matrix, with_distance=False)
        else:
            logs = np.empty(len(trips), dtype=np.float64)
            logs[known] = self.log_minutes(matrix[known], with_distance=True)
            logs[~known] = self.log_minutes(matrix[~known], with_distance=False)
        return np.minimum(np.maximum(np.exp(logs), MIN_MINUTES), MAX_MINUTES)

    def predict(self, trips: TripBatch, *, level: float = DEFAULT_LEVEL) -> PredictionBatch:
        """Answers with intervals of a level.

        Raises:
            ValueError: a level outside MIN_LEVEL to MAX_LEVEL.
        """
        if not MIN_LEVEL <= level <= MAX_LEVEL:
            raise ValueError(f"level must be between {MIN_LEVEL} and {MAX_LEVEL}, not {level}")
        minutes = self.minutes(trips)
        groups = interval_groups(trips, minutes)
        low_share, high_share = self._shares(level)
        support = self.tables.support[trips.pickup_zone, trips.dropoff_zone]
        known = trips.distance_miles > 0
        return PredictionBatch(
            minutes=minutes,
            low=minutes * low_share[groups],
            high=minutes * high_share[groups],
            level=level,
            support=support,
            extrapolating=(support < MIN_SUPPORT) | ~self._fleet_known[trips.fleet],
            distance_used_miles=np.where(known, trips.distance_miles, np.float32(np.nan)),
            distance_given=known,
        )

    def _shares(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = self._shares_of_level.get(level)
        if known is None:
            known = self.intervals.shares(level)
            if len(self._shares_of_level) < MAX_CACHED_LEVELS:
                self._shares_of_level[level] = known
        return known

    def quantiles(self, trips: TripBatch, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Minutes that a trip stays below with each probability, float64 (len(trips), len(probabilities)).

        Raises:
            ValueError: a probability beyond those that were calibrated.
        """
        stored = self.intervals.probabilities
        wanted = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
        if not ((wanted >= stored[0] - 1e-9) & (wanted <= stored[-1] + 1e-9)).all():
            raise ValueError(f"probabilities must be between {stored[0]:g} and {stored[-1]:g}")
        minutes = self.minutes(trips)
        groups = interval_groups(trips, minutes)
        logs = np.stack([self.intervals.at(groups, float(p)) for p in wanted], axis=1)
        return minutes[:, None] * np.exp(logs)


def sha256(path: Path) -> str:
    """Digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version's folder.

    Raises:
        ArtifactError: it is missing, unreadable or of another format.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ArtifactError(f"Model {folder.name} has no {MANIFEST}.") from None
    except ValueError:
        raise ArtifactError(f"The {MANIFEST} of model {folder.name} is no JSON.") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"Model {folder.name} has format {found}; this program reads {FORMAT}: train it again.")
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ArtifactError(f"The {MANIFEST} of model {folder.name} is wrong at {where}.") from None
    if tuple(manifest.features) != FEATURES:
        raise ArtifactError(f"Model {folder.name} was made for other features: train it again.")
    return manifest


def verify_digests(folder: Path, manifest: Manifest) -> None:
    """Compares every file with the digest that the manifest holds.

    Raises:
        ArtifactError: a file is missing or was altered.
    """
    needed = {MODEL, TABLES, INTERVALS}
    absent = needed - set(manifest.files)
    if absent:
        raise ArtifactError(f"The {MANIFEST} of model {manifest.version} names no {sorted(absent)[0]}.")
    for name, digest in manifest.files.items():
        path = folder / name
        if "/" in name or not path.is_file():
            raise ArtifactError(f"Model {manifest.version} lacks its file {name}.")
        if sha256(path) != digest:
            raise ArtifactError(f"File {name} of model {manifest.version} was altered: its digest is wrong.")
