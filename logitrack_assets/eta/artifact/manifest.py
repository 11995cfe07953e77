"""The manifest of a version: its schema, reading, writing and verification of the folder's digests."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.variant import Variant

FORMAT = 1
MODEL = "model.onnx"
TABLES = "tables.npz"
INTERVALS = "intervals.json"
MANIFEST = "manifest.json"
REFERENCE = "reference.json"
CARD = "card.md"

_REQUIRED_FILES = (INTERVALS, MODEL, TABLES)


class ArtifactError(LogitrackError):
    """A model folder that is missing, altered or of another format."""


class TrainingMonth(BaseModel):
    """A month of a fleet in the training window.

    Attributes:
        month: `YYYY-MM`.
        fleet: Name of the fleet.
        trips: Number of valid trips.
        bronze_sha256: Digest of the file as published; None when its receipt is missing.
        silver_version: Version of the month's valid trips; None in manifests of earlier releases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    month: str
    fleet: str
    trips: int
    bronze_sha256: str | None
    silver_version: str | None = None


class RegressionMetrics(BaseModel):
    """Errors of predictions against real durations.

    Attributes:
        trips: Number of trips.
        mae_minutes: Mean absolute error.
        rmse_minutes: Root mean squared error.
        r2: Coefficient of determination.
        mape: Mean absolute error as a share of the real duration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trips: int
    mae_minutes: float
    rmse_minutes: float
    r2: float
    mape: float


class SliceMetrics(BaseModel):
    """Errors and interval coverage of one slice of the evaluated trips.

    Attributes:
        by: The property that defines the slice, for example `hour`.
        value: The slice's value of that property, for example `07 to 09`.
        distance_known: Whether the predictions used the planned distance.
        trips: Number of trips.
        mae_minutes: Mean absolute error of the model.
        lookup_mae_minutes: Mean absolute error of the baseline.
        coverage: Share of real durations inside the interval.
        width_minutes: Mean width of the interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    value: str
    distance_known: bool
    trips: int
    mae_minutes: float
    lookup_mae_minutes: float
    coverage: float
    width_minutes: float

    @property
    def name(self) -> str:
        """The name of the slice for people."""
        return f"{self.by} {self.value}, {'with distance' if self.distance_known else 'zones only'}"


class ModelMetrics(BaseModel):
    """Metrics of the evaluation model on the newest month, which it was not trained on.

    Attributes:
        zones: Errors of the zones-only variant on all trips.
        distance: Errors of the variant with distance on trips with a planned distance.
        lookup: Errors of the baseline, the median by zone pair and hour.
        level: Level of the intervals that are measured below.
        coverage_zones: Share of real durations inside the interval, on every other trip of the newest month, with
            interval tables that are made like the published ones but without those trips.
        coverage_distance: The same for the variant with distance.
        width_minutes_zones: Mean width of those intervals.
        width_minutes_distance: The same for the variant with distance.
        coverage_forward_zones: Coverage with interval tables from the earlier months only; far from the level only
            where the newest month differs from them.
        coverage_forward_distance: The same for the variant with distance.
        calibrated_on: Months (`YYYY-MM`) whose residuals the published interval tables use.
        slices: Metrics by slice.
        recalibrated_slices: Names of the slices whose coverage deviated beyond chance; their published intervals use
            the newest month only.
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
    recalibrated_slices: list[str] = []

    @property
    def mae_minutes(self) -> float:
        """The headline error: mean absolute error of the zones-only variant."""
        return self.zones.mae_minutes

    def coverage(self, variant: Variant) -> float:
        """Return the interval coverage of a variant."""
        return self.coverage_distance if variant is Variant.DISTANCE else self.coverage_zones


class Manifest(BaseModel):
    """The content of `manifest.json`.

    Attributes:
        format: Version of the folder's format.
        version: Name of the version.
        created_at: When it was published, UTC.
        estimator: `xgboost` or `gbt`.
        seed: Seed of training.
        recipe: Training strategy, tree parameters and backtest results.
        features: Feature names in the order of the matrix, with their dtypes.
        fleets: Fleets among the training trips.
        training: Months of the training window.
        trained_through: The newest training month, `YYYY-MM`.
        judged_on: Months (`YYYY-MM`) that the metrics were measured on; the evaluation model was not trained on them.
        metrics: Metrics of the evaluation model: the same strategy, trained on the months before `judged_on`.
        levels: Lowest and highest interval level.
        libraries: Versions of the libraries that made the model.
        files: SHA-256 of every other file of the folder, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    version: str
    created_at: datetime
    estimator: str
    seed: int
    recipe: dict[str, Any]
    features: dict[str, str]
    fleets: list[str]
    training: list[TrainingMonth]
    trained_through: str
    judged_on: list[str]
    metrics: ModelMetrics
    levels: list[float]
    libraries: dict[str, str]
    files: dict[str, str]

    @property
    def training_months(self) -> list[str]:
        """The months of the training window, `YYYY-MM`, ascending."""
        return sorted({month.month for month in self.training})

    @property
    def default_fleet(self) -> str:
        """The fleet of a trip that names none: the one with the most training trips."""
        trips = dict.fromkeys(self.fleets, 0)
        for month in self.training:
            trips[month.fleet] = trips.get(month.fleet, 0) + month.trips
        return max(trips, key=lambda fleet: trips[fleet])


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a version's folder.

    Raises:
        ArtifactError: The manifest is missing, unreadable, of another format or for other features.
    """
    document = _read_document(folder)
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise ArtifactError(f"Model {folder.name} has format {found}; this program reads {FORMAT}: train it again.")
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ArtifactError(f"The {MANIFEST} of model {folder.name} has an invalid value at {field}.") from None
    if tuple(manifest.features) != FEATURES:
        raise ArtifactError(f"Model {folder.name} was made for other features: train it again.")
    return manifest


def _read_document(folder: Path) -> Any:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        raise ArtifactError(f"Model {folder.name} has no {MANIFEST}.") from None
    except ValueError:
        raise ArtifactError(f"The {MANIFEST} of model {folder.name} is not valid JSON.") from None


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` with the digest of every other file of the folder.

    Returns:
        The manifest as written, with `files` filled in.
    """
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    complete = manifest.model_copy(update={"files": files})
    document = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(document + "\n", encoding="utf-8")
    return complete


def verify_digests(folder: Path, manifest: Manifest) -> None:
    """Compare every file of a version with its digest in the manifest.

    Raises:
        ArtifactError: A file is missing, unlisted or altered.
    """
    for name in _REQUIRED_FILES:
        if name not in manifest.files:
            raise ArtifactError(f"The {MANIFEST} of model {manifest.version} has no digest of {name}.")
    for name, digest in manifest.files.items():
        path = folder / name
        if "/" in name or not path.is_file():
            raise ArtifactError(f"Model {manifest.version} lacks its file {name}.")
        if sha256(path) != digest:
            raise ArtifactError(f"File {name} of model {manifest.version} was altered: its digest does not match.")
