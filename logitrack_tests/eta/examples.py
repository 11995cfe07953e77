"""Small versions and trips for tests: ensembles of one leaf need no training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from logitrack_assets.eta.artifact import (
    CARD,
    FORMAT,
    GROUP_SHAPE,
    INTERVALS,
    MAX_LEVEL,
    MIN_LEVEL,
    MODEL,
    REFERENCE,
    TABLES,
    Intervals,
    Manifest,
    ModelMetrics,
    RegressionMetrics,
    Tables,
    TrainingMonth,
    write_manifest,
)
from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.drift import DriftReference, histograms
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.features import FEATURES, ZONES, TripBatch
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.training.calibration import PROBABILITIES
from logitrack_assets.eta.training.onnx_export import constant_forest, merge_graphs
from logitrack_assets.eta.variant import Variant
from logitrack_assets.nyc_calendar import hour_of_day

ERRORS = RegressionMetrics(trips=20_000, mae_minutes=3.0, rmse_minutes=4.0, r2=0.7, mape=0.2)


def random_trips(count: int = 2_000, *, seed: int = 0, month: str = "2019-06", fleet: str = "yellow") -> TripDataset:
    """Return random trips of one month: minutes depend on distance and hour, with noise; 10% have no distance."""
    random = np.random.default_rng(seed)
    start = np.datetime64(f"{month}-01", "s")
    moments = start + random.integers(0, 27 * 86400, count).astype("timedelta64[s]")
    pickup, dropoff = random.integers(1, 264, count), random.integers(1, 264, count)
    miles = np.exp(random.normal(0.8, 0.7, count)).astype(np.float32)
    rush = 1 + 0.4 * (hour_of_day(moments) == 8)
    minutes = np.clip(4 + 4.2 * miles * rush * np.exp(random.normal(0, 0.25, count)), 1, 180)
    miles[::10] = np.nan
    row = random.integers(-(2**62), 2**62, count)
    return TripDataset(row, TripBatch.from_columns(pickup, dropoff, moments, miles, fleet), minutes)


def constant_holdout(trips: TripDataset, *, evaluated: float, published: float) -> Holdout:
    """Return a holdout with constant minutes of the evaluation model and the published trees; the baseline's are 30."""
    ones = np.ones(len(trips))
    return Holdout(
        trips, dict.fromkeys(Variant, ones * evaluated), ones * 30.0, dict.fromkeys(Variant, ones * published)
    )


def publish_version(
    models: ModelRegistry,
    *,
    zones: float = 12.0,
    distance: float = 12.0,
    trained_through: str = "2019-06",
    trips: TripDataset | None = None,
    evaluated: float | None = None,
    coverage: float = 0.8,
    fleets: tuple[str, ...] = ("yellow",),
    later: int = 0,
) -> str:
    """Publish a version that always predicts `zones` or `distance` minutes, and return its name."""
    created = datetime(2019, 8, 1, 12, tzinfo=UTC) + timedelta(seconds=later + len(models.versions()))
    trips = trips or random_trips(month=trained_through)
    version = models.new_version(f"{abs(hash((zones, distance, later))):06x}"[-6:], at=created)
    metrics = ModelMetrics(
        zones=ERRORS, distance=ERRORS, lookup=ERRORS, level=0.8, coverage_zones=coverage, coverage_distance=coverage,
        width_minutes_zones=10.0, width_minutes_distance=8.0, coverage_forward_zones=0.8,
        coverage_forward_distance=0.8, calibrated_on=[trained_through], slices=[],
    )  # fmt: skip
    manifest = Manifest(
        format=FORMAT, version=version, created_at=created, estimator="xgboost", seed=1,
        recipe={"name": "all months", "forest": {"trees": 1, "depth": 1}, "judged": "so", "chosen_by": []},
        features=dict.fromkeys(FEATURES, "float32"), fleets=list(fleets),
        training=[
            TrainingMonth(month=trained_through, fleet=fleet, trips=len(trips), bronze_sha256=None) for fleet in fleets
        ],
        trained_through=trained_through, judged_on=[trained_through], metrics=metrics,
        levels=[MIN_LEVEL, MAX_LEVEL], libraries={}, files={},
    )  # fmt: skip
    support = np.zeros((ZONES, ZONES), dtype=np.int32)
    support[161, 236] = 400
    minutes = {Variant.ZONES: zones, Variant.DISTANCE: distance}
    with models.staged(version) as folder:
        graph = merge_graphs({variant: constant_forest(np.log(value)) for variant, value in minutes.items()})
        onnx.save(graph, folder / MODEL)
        Tables(without_delays(), support).save(folder / TABLES)
        quantiles = np.linspace(-1.0, 1.0, len(PROBABILITIES))[None, :]
        Intervals(PROBABILITIES, np.zeros(int(np.prod(GROUP_SHAPE)), dtype=np.int64), quantiles).save(
            folder / INTERVALS
        )
        counts = {name: histogram.tolist() for name, histogram in histograms(trips.batch).items()}
        reference = DriftReference(dict.fromkeys(fleets, counts), dict.fromkeys(fleets, float(len(trips))), 3.0)
        reference.save(folder / REFERENCE)
        holdout = constant_holdout(trips, evaluated=zones if evaluated is None else evaluated, published=zones)
        holdout.save(folder / HOLDOUT_FILE)
        (folder / CARD).write_text("# A card\n", encoding="utf-8")
        write_manifest(folder, manifest)
    return version


def write_silver(home: Path, month: str, trips: TripDataset, fleet: str = "yellow") -> None:
    """Write trips as a silver month with the columns that training uses."""
    folder = home / "lake" / "silver" / f"month={month}"
    folder.mkdir(parents=True, exist_ok=True)
    pickup = trips.batch.pickup_at.astype("datetime64[us]")
    table = pa.table(
        {
            "fleet": pa.array([fleet] * len(trips)),
            "vendor_id": pa.array(np.arange(len(trips), dtype=np.int32)),
            "pickup_at": pa.array(pickup),
            "dropoff_at": pa.array(pickup + (trips.minutes * 60e6).astype("timedelta64[us]")),
            "pickup_zone": pa.array(trips.batch.pickup_zone),
            "dropoff_zone": pa.array(trips.batch.dropoff_zone),
            "distance_miles": pa.array(trips.batch.distance_miles.astype(np.float64), from_pandas=True),
            "duration_minutes": pa.array(trips.minutes),
        }
    )
    pq.write_table(table, folder / f"{fleet}.parquet")
