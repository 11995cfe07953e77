"""Training of boosted trees on Spark: one function per estimator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.training.context import TrainingContext
from logitrack_assets.eta.training.feature_rows import TARGET, WEIGHT, training_frame
from logitrack_assets.eta.training.strategy import TreeParameters
from logitrack_assets.eta.variant import Variant

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FittedModel:
    """The trees of one variant.

    Attributes:
        onnx: The trees as ONNX.
        score: The estimator's own prediction, from a feature matrix to float64 log(minutes).
    """

    onnx: onnx.ModelProto
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]]


def concurrent_tasks(session: SparkSession) -> int:
    """Return the number of tasks that Spark runs concurrently."""
    context = session.sparkContext
    return max(context.defaultParallelism // int(context.getConf().get("spark.task.cpus") or "1"), 1)


def fit(
    trips: DataFrame, context: TrainingContext, parameters: TreeParameters, variant: Variant, *, workers: int
) -> FittedModel:
    """Return the trees of one variant, trained by `workers` concurrent tasks on the trips that it applies to."""
    frame = training_frame(trips, context, variant, partitions=workers)
    return fit_gbt(frame, parameters) if parameters.estimator == "gbt" else fit_xgboost(frame, parameters, workers)


def fit_variants(trips: DataFrame, context: TrainingContext, parameters: TreeParameters) -> dict[Variant, FittedModel]:
    """Return the trees of both variants, trained concurrently, each on half of Spark's cores.

    Workers of one ensemble synchronise at every level of every tree; those of two ensembles do not.
    """
    workers = max(concurrent_tasks(trips.sparkSession) // 2, 1)
    with ThreadPoolExecutor(len(Variant)) as threads:
        fits = {
            variant: threads.submit(fit, trips, context, parameters, variant, workers=workers) for variant in Variant
        }
        return {variant: fitted.result() for variant, fitted in fits.items()}


def fit_xgboost(frame: DataFrame, parameters: TreeParameters, workers: int) -> FittedModel:
    """Train XGBoost on Spark.

    Args:
        frame: Rows of `training_frame`.
        parameters: Parameters of the trees.
        workers: Number of concurrent tasks.
    """
    import xgboost
    from xgboost.spark import SparkXGBRegressor

    from logitrack_assets.eta.training.onnx_export import from_booster

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    arguments = parameters.xgboost()
    arguments["random_state"] = arguments.pop("seed")
    estimator = SparkXGBRegressor(
        features_col=list(FEATURES),
        label_col=TARGET,
        weight_col=WEIGHT,
        num_workers=workers,
        n_estimators=parameters.trees,
        verbosity=0,
        verbose=False,
        **arguments,
    )
    booster = estimator.fit(frame).get_booster()
    # Without names the booster scores a plain matrix, whose columns have the order of FEATURES.
    booster.feature_names = None
    booster.feature_types = None

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        logs: NDArray[np.float64] = booster.predict(xgboost.DMatrix(matrix, nthread=1)).astype(np.float64)
        return logs

    return FittedModel(from_booster(booster), score)


def fit_gbt(frame: DataFrame, parameters: TreeParameters) -> FittedModel:
    """Train MLlib's gradient-boosted trees.

    Args:
        frame: Rows of `training_frame`.
        parameters: Parameters of the trees.
    """
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import GBTRegressor

    from logitrack_assets.eta.training.onnx_export import from_spark_gbt

    assemble = VectorAssembler(inputCols=list(FEATURES), outputCol="features")
    estimator = GBTRegressor(
        featuresCol="features",
        labelCol=TARGET,
        weightCol=WEIGHT,
        maxIter=parameters.trees,
        maxDepth=parameters.depth,
        maxBins=128,
        stepSize=parameters.learning_rate,
        subsamplingRate=parameters.subsample,
        featureSubsetStrategy=str(parameters.columns_by_tree),
        minInstancesPerNode=parameters.least_rows_in_leaf,
        seed=parameters.seed,
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
        predictions = scored.select("n", "prediction").toArrow()
        logs = np.empty(len(matrix), dtype=np.float64)
        logs[predictions["n"].to_numpy()] = predictions["prediction"].to_numpy()
        return logs

    return FittedModel(from_spark_gbt(model), score)
