"""From silver months to two forests, on Spark.

Every row passes through `features.feature_matrix`, the function that serving calls, inside `mapInArrow`. Rows reach
the estimator in an order that depends on the rows alone, so that the same months and seed give the same trees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact.predictor import MAX_MINUTES, MIN_MINUTES
from logitrack_assets.eta.features import FEATURES, FLEETS, ZONES, FeatureTables, TripBatch, feature_matrix
from logitrack_assets.eta.traffic import CELLS, Delays, from_sums, month_name, month_number, sum_delays, without_delays
from logitrack_assets.eta.training.strategy import TrainingStrategy, TreeParameters

if TYPE_CHECKING:
    import onnx

COLUMNS = (
    "fleet",
    "vendor_id",
    "pickup_at",
    "dropoff_at",
    "pickup_zone",
    "dropoff_zone",
    "distance_miles",
    "duration_minutes",
)
TARGET, WEIGHT = "log_minutes", "weight"


class TrainingError(LogitrackError):
    """Trips that no model can be made from."""


@dataclass(frozen=True)
class TripDataset:
    """Real trips: what was known when they began, and how long they took.

    row: int64, a hash of the trip that tells rows apart and does not change from run to run.
    minutes: float64.
    """

    row: NDArray[np.int64]
    batch: TripBatch
    minutes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def month(self) -> NDArray[np.int64]:
        """Month numbers of the pickups."""
        return month_number(self.batch.pickup_at)

    def take(self, rows: NDArray[Any] | slice) -> TripDataset:
        """The chosen rows."""
        return TripDataset(self.row[rows], self.batch.take(rows), self.minutes[rows])


def silver_trips(session: SparkSession, folders: Sequence[Path], fleets: Sequence[str] = FLEETS) -> DataFrame:
    """The columns of clean trips that training looks at, and `row`, a hash of the trip."""
    trips = session.read.parquet(*(str(folder) for folder in folders))
    return (
        trips.select(*COLUMNS)
        .where(F.col("fleet").isin(*fleets))
        .withColumn("row", F.xxhash64("fleet", "vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone"))
        .drop("vendor_id", "dropoff_at")
    )


def in_months(trips: DataFrame, months: Sequence[int]) -> DataFrame:
    """Trips whose pickup lies in one of the months (month numbers)."""
    return trips.where(F.date_format("pickup_at", "yyyy-MM").isin(*(month_name(month) for month in months)))


def to_trips(batch: pa.RecordBatch | pa.Table) -> TripDataset:
    """Arrow rows of `silver_trips` as arrays."""

    def column(name: str) -> pa.Array:
        array = batch.column(name)
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    moments = column("pickup_at").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    miles = pc.fill_null(column("distance_miles").cast(pa.float32()), float("nan"))
    fleet = pc.index_in(column("fleet").cast(pa.string()), value_set=pa.array(FLEETS)).cast(pa.int8())
    return TripDataset(
        column("row").to_numpy(zero_copy_only=False),
        TripBatch(
            column("pickup_zone").cast(pa.int16()).to_numpy(zero_copy_only=False),
            column("dropoff_zone").cast(pa.int16()).to_numpy(zero_copy_only=False),
            np.floor_divide(moments, 1_000_000).astype("datetime64[s]"),
            miles.to_numpy(zero_copy_only=False),
            fleet.to_numpy(zero_copy_only=False),
        ),
        column("duration_minutes").cast(pa.float64()).to_numpy(zero_copy_only=False),
    )


def collect_sample(trips: DataFrame, *, rows: int, total: int, seed: int) -> TripDataset:
    """At most about `rows` of the `total` trips, chosen by their hash, in the hash's order."""
    if total > rows:
        share = int(rows / total * 1_000_000)
        trips = trips.where(F.pmod(F.xxhash64("row", F.lit(seed)), F.lit(1_000_000)) < share)
    sample = to_trips(trips.toArrow())
    return sample.take(np.lexsort((sample.batch.pickup_at.astype(np.int64), sample.row)))


@dataclass(frozen=True)
class TripCounts:
    """What one pass over the trips counts.

    trips: by (month number, fleet code).
    delays: how slow each month was.
    """

    trips: dict[tuple[int, int], int]
    delays: Delays

    @property
    def months(self) -> list[int]:
        return sorted({month for month, _ in self.trips})

    def trips_in_month(self, month: int) -> int:
        return sum(count for (at, _), count in self.trips.items() if at == month)

    def total(self, months: Sequence[int]) -> int:
        return sum(self.trips_in_month(month) for month in months)


def count_trips(trips: DataFrame) -> TripCounts:
    """Counts trips and delays by month, fleet and hour, in one pass."""

    def partial(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            rows = to_trips(batch)
            for month, sums in sum_delays(rows.batch, rows.minutes).items():
                cells = np.flatnonzero(sums[:, 0])
                yield pa.record_batch(
                    {
                        "month": pa.array(np.full(len(cells), month, dtype=np.int64)),
                        "cell": pa.array(cells.astype(np.int64)),
                        "trips": pa.array(sums[cells, 0]),
                        "delay": pa.array(sums[cells, 1]),
                    }
                )

    # Cells are few (96 a month); adding them in a fixed order keeps the last digit the same from run to run.
    table = trips.mapInArrow(partial, "month long, cell long, trips double, delay double").toArrow()
    month, cell = table["month"].to_numpy(), table["cell"].to_numpy()
    count, delay = table["trips"].to_numpy(), np.round(table["delay"].to_numpy() * 2**20)
    sums: dict[int, NDArray[np.float64]] = {}
    for number in np.unique(month):
        at = month == number
        sums[int(number)] = np.stack(
            [
                np.bincount(cell[at], weights=count[at], minlength=CELLS),
                np.bincount(cell[at], weights=delay[at], minlength=CELLS) / 2**20,
            ],
            axis=1,
        )
    if not sums:
        raise TrainingError("There are no clean trips to learn from: load months with `logitrack materialize` first.")
    delays = from_sums(sums)
    by_fleet = delays.trips.sum(axis=2).astype(np.int64)
    return TripCounts(
        {
            (int(number), fleet): int(by_fleet[index, fleet])
            for index, number in enumerate(delays.months)
            for fleet in range(len(FLEETS))
            if by_fleet[index, fleet]
        },
        delays,
    )


def count_pairs(trips: DataFrame) -> NDArray[np.int32]:
    """Trips by pickup and drop-off zone, int32 (ZONES, ZONES)."""
    table = trips.groupBy("pickup_zone", "dropoff_zone").count().toArrow()
    support = np.zeros((ZONES, ZONES), dtype=np.int32)
    support[table["pickup_zone"].to_numpy(), table["dropoff_zone"].to_numpy()] = table["count"].to_numpy()
    return support


def tables_by_month(recipe: TrainingStrategy, delays: Delays, months: Sequence[int]) -> dict[int, FeatureTables]:
    """The tables that training rows of each month are looked up in: what was known before it."""
    if not recipe.recent:
        same = without_delays()
        return dict.fromkeys(months, same)
    return {month: delays.before(month) for month in months}


def serving_tables(recipe: TrainingStrategy, delays: Delays, through: int) -> FeatureTables:
    """The tables that questions are looked up in after training through a month."""
    return delays.before(through + 1) if recipe.recent else without_delays()


def features_of(
    trips: TripDataset, tables: dict[int, FeatureTables], *, with_distance: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Feature matrix and target of training rows, each looked up in the tables of its own month.

    Without distance, its columns are blank for every row, as they are for a question that gives none.
    """
    months = trips.month
    batch = trips.batch if with_distance else trips.batch.without_distance()
    matrix = np.empty((len(trips), len(FEATURES)), dtype=np.float32)
    for month in np.unique(months):
        rows = months == month
        matrix[rows] = feature_matrix(batch.take(rows), tables[int(month)])
    return matrix, np.log(trips.minutes)


@dataclass(frozen=True)
class TrainingContext:
    """What training rows are given beside themselves, by month number: tables to look features up in, and how much
    a row counts."""

    tables: dict[int, FeatureTables]
    weights: dict[int, float]

    @classmethod
    def from_strategy(cls, recipe: TrainingStrategy, delays: Delays, months: list[int]) -> TrainingContext:
        """Those of a recipe's window of months."""
        return cls(tables_by_month(recipe, delays, months), recipe.weights(months))

    def weights_of(self, trips: TripDataset) -> NDArray[np.float64]:
        months, places = np.unique(trips.month, return_inverse=True)
        return np.array([self.weights[int(month)] for month in months])[places]


def training_frame(trips: DataFrame, lessons: TrainingContext, *, partitions: int, with_distance: bool) -> DataFrame:
    """Rows for an estimator: a float column a feature, `TARGET` and `WEIGHT`, dealt out to partitions by the rows'
    hash."""
    if with_distance:
        trips = trips.where(F.col("distance_miles").isNotNull())
    shared = trips.sparkSession.sparkContext.broadcast(lessons)

    def with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            rows = to_trips(batch)
            matrix, target = features_of(rows, shared.value.tables, with_distance=with_distance)
            columns = {name: pa.array(matrix[:, index]) for index, name in enumerate(FEATURES)}
            weights = shared.value.weights_of(rows)
            yield pa.record_batch({**columns, TARGET: pa.array(target), WEIGHT: pa.array(weights)})

    schema = ", ".join([*(f"{name} float" for name in FEATURES), f"{TARGET} double", f"{WEIGHT} double"])
    order = ("row", "pickup_at", "distance_miles", "duration_minutes")
    dealt = trips.repartition(partitions, "row").sortWithinPartitions(*order)
    return dealt.mapInArrow(with_features, schema)


@dataclass(frozen=True)
class FittedModel:
    """One forest: as ONNX, and as the estimator's own way to score a feature matrix (log minutes, float64)."""

    onnx: onnx.ModelProto
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]]


def cores(session: SparkSession) -> int:
    """Tasks that Spark runs at once."""
    context = session.sparkContext
    return max(context.defaultParallelism // int(context.getConf().get("spark.task.cpus") or "1"), 1)


def fit(
    trips: DataFrame, lessons: TrainingContext, forest: TreeParameters, *, with_distance: bool, workers: int
) -> FittedModel:
    """Trains one forest on so many tasks at once; where `with_distance`, on the trips whose distance is known.

    Raises:
        TrainingError: the estimator failed, with its reason.
    """
    frame = training_frame(trips, lessons, partitions=workers, with_distance=with_distance)
    return _fit_gbt(frame, forest) if forest.estimator == "gbt" else _fit_xgboost(frame, forest, workers)


def fit_variants(trips: DataFrame, lessons: TrainingContext, forest: TreeParameters) -> tuple[FittedModel, FittedModel]:
    """The forest for zones alone and the one with distances, side by side, each on half of Spark's cores: workers of
    one forest wait for each other at every level of every tree, those of two forests do not."""
    workers = max(cores(trips.sparkSession) // 2, 1)

    def one(with_distance: bool) -> FittedModel:
        return fit(trips, lessons, forest, with_distance=with_distance, workers=workers)

    with ThreadPoolExecutor(2) as threads:
        zones, distance = threads.submit(one, False), threads.submit(one, True)
        return zones.result(), distance.result()


def _fit_xgboost(frame: DataFrame, forest: TreeParameters, workers: int) -> FittedModel:
    import xgboost
    from xgboost.spark import SparkXGBRegressor

    from logitrack_assets.eta.training.onnx_export import from_booster

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    parameters = forest.xgboost()
    parameters["random_state"] = parameters.pop("seed")
    estimator = SparkXGBRegressor(
        features_col=list(FEATURES),
        label_col=TARGET,
        weight_col=WEIGHT,
        num_workers=workers,
        n_estimators=forest.trees,
        verbosity=0,
        verbose=False,
        **parameters,
    )
    booster = estimator.fit(frame).get_booster()
    # The features' names stay out: ONNX knows columns by their place.
    booster.feature_names = None
    booster.feature_types = None

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return booster.predict(xgboost.DMatrix(matrix, nthread=1)).astype(np.float64)

    return FittedModel(from_booster(booster), score)


def _fit_gbt(frame: DataFrame, forest: TreeParameters) -> FittedModel:
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import GBTRegressor

    from logitrack_assets.eta.training.onnx_export import from_spark_gbt

    assemble = VectorAssembler(inputCols=list(FEATURES), outputCol="features")
    estimator = GBTRegressor(
        featuresCol="features",
        labelCol=TARGET,
        weightCol=WEIGHT,
        maxIter=forest.trees,
        maxDepth=forest.depth,
        maxBins=128,
        stepSize=forest.learning_rate,
        subsamplingRate=forest.subsample,
        featureSubsetStrategy=str(forest.columns_by_tree),
        minInstancesPerNode=forest.least_rows_in_leaf,
        seed=forest.seed,
        maxMemoryInMB=512,
    )
    model = estimator.fit(assemble.transform(frame).select("features", TARGET, WEIGHT))
    session = frame.sparkSession

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        numbered = pa.table(
            {"n": pa.array(np.arange(len(matrix)))}
            | {name: pa.array(matrix[:, index]) for index, name in enumerate(FEATURES)}
        )
        scored = model.transform(assemble.transform(session.createDataFrame(numbered)))
        answers = scored.select("n", "prediction").toArrow()
        logs = np.empty(len(matrix), dtype=np.float64)
        logs[answers["n"].to_numpy()] = answers["prediction"].to_numpy()
        return logs

    return FittedModel(from_spark_gbt(model), score)


def to_minutes(log_minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minutes as they are answered, from what trees say."""
    return np.clip(np.exp(log_minutes), MIN_MINUTES, MAX_MINUTES)


def spark_features(trips: DataFrame, wanted: TripDataset, tables: FeatureTables) -> NDArray[np.float32]:
    """Features of the wanted trips, computed where training computes them: in Spark's workers, from silver rows.

    Returns float32 (len(wanted), len(FEATURES)) in the order of `wanted`, which came from the same frame.
    """
    shared = trips.sparkSession.sparkContext.broadcast((np.sort(wanted.row), tables))

    def with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows, looked_up = shared.value
        for batch in batches:
            found = to_trips(batch)
            place = np.minimum(np.searchsorted(rows, found.row), len(rows) - 1)
            found = found.take(rows[place] == found.row)
            if len(found):
                matrix = feature_matrix(found.batch, looked_up)
                columns = {name: pa.array(matrix[:, index]) for index, name in enumerate(FEATURES)}
                yield pa.record_batch({"row": pa.array(found.row), **columns})

    schema = ", ".join(["row long", *(f"{name} float" for name in FEATURES)])
    table = trips.mapInArrow(with_features, schema).toArrow()
    rows, first = np.unique(table["row"].to_numpy(), return_index=True)
    matrix = np.stack([table[name].to_numpy() for name in FEATURES], axis=1)[first]
    return np.ascontiguousarray(matrix[np.searchsorted(rows, wanted.row)])
