"""Seconds, memory and error of training XGBoost on Spark beside MLlib's GBTRegressor(maxIter=20, maxDepth=5).

    python -m logitrack_tests.benchmarks.eta_training --home .logitrack --rows 1800000

Silver months of `--home` are repeated to the wanted number of rows; the newest month is left out and answered.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import GBTRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.eta.evaluation.metrics import errors
from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.traffic import month_name
from logitrack_assets.eta.training.fitting import (
    TARGET,
    FittedModel,
    TrainingContext,
    collect_sample,
    cores,
    count_trips,
    features_of,
    fit,
    in_months,
    serving_tables,
    silver_trips,
    to_minutes,
    training_frame,
)
from logitrack_assets.eta.training.onnx_export import from_spark_gbt
from logitrack_assets.eta.training.strategy import STRATEGIES, TreeParameters
from logitrack_assets.lake import Lake
from logitrack_assets.spark import spark_config
from logitrack_tests.benchmarks.memory import PeakMemory


def plain_gbt(frame: DataFrame) -> FittedModel:
    """MLlib's trees as one gets them: `GBTRegressor(maxIter=20, maxDepth=5)`."""
    assembled = VectorAssembler(inputCols=list(FEATURES), outputCol="features").transform(frame)
    estimator = GBTRegressor(featuresCol="features", labelCol=TARGET, maxIter=20, maxDepth=5, seed=1)
    graph = from_spark_gbt(estimator.fit(assembled.select("features", TARGET)))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return session.run(None, {session.get_inputs()[0].name: matrix})[0].reshape(-1).astype(np.float64)

    return FittedModel(graph, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".logitrack"))
    parser.add_argument("--rows", type=int, default=1_800_000)
    parser.add_argument("--skip-gbt", action="store_true", help="XGBoost alone")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--driver-memory", default="2g")
    arguments = parser.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder
    for key, value in spark_config(master=arguments.master, driver_memory=arguments.driver_memory).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    lake = Lake(arguments.home)
    trips = silver_trips(session, [lake.silver(month) for month in lake.silver_months()])
    census = count_trips(trips)
    past, newest = census.months[:-1], census.months[-1]
    copies = max(round(arguments.rows / census.total(past)), 1)
    repeated = in_months(trips, past).withColumn("copy", F.explode(F.sequence(F.lit(1), F.lit(copies))))
    repeated = repeated.withColumn("row", F.xxhash64("row", "copy")).drop("copy")
    recipe = STRATEGIES[0]
    lessons = TrainingContext.from_strategy(recipe, census.delays, past)
    asked = collect_sample(in_months(trips, [newest]), rows=30_000, total=census.trips_in_month(newest), seed=1)
    tables = {newest: serving_tables(recipe, census.delays, past[-1])}
    print(f"{census.total(past) * copies:,} rows, {arguments.master}; answered: {month_name(newest)}")
    memory = PeakMemory()
    estimators: dict[str, Callable[[], FittedModel]] = {
        "xgboost": lambda: fit(repeated, lessons, TreeParameters(), with_distance=True, workers=cores(session)),
        "gbt": lambda: plain_gbt(training_frame(repeated, lessons, partitions=cores(session), with_distance=True)),
    }
    if arguments.skip_gbt:
        del estimators["gbt"]
    for name, train in estimators.items():
        memory.peak = 0
        began = time.monotonic()
        trained = train()
        seconds = time.monotonic() - began
        known = asked.take(asked.batch.distance_miles > 0)
        matrix, _ = features_of(known, tables, with_distance=True)
        found = errors(to_minutes(np.asarray(trained.score(matrix))), known.minutes)
        print(
            f"{name:<8} {seconds:7.1f} s  RMSE {found.rmse_minutes:.3f}  MAE {found.mae_minutes:.3f}  "
            f"peak memory {memory.peak / 1e9:.1f} GB"
        )
    session.stop()


if __name__ == "__main__":
    main()
