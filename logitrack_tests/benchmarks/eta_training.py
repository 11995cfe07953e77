"""Compare seconds, memory and error of XGBoost on Spark with MLlib's GBTRegressor(maxIter=20, maxDepth=5).

    python -m logitrack_tests.benchmarks.eta_training --home .logitrack --rows 1800000

Silver months of `--home` but the newest are repeated to the requested number of rows; the newest month is predicted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import GBTRegressor
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logitrack_assets.eta.artifact import to_minutes
from logitrack_assets.eta.dataset import collect_sample, in_months, silver_trips
from logitrack_assets.eta.evaluation.metrics import regression_metrics
from logitrack_assets.eta.features import FEATURES, feature_matrix
from logitrack_assets.eta.training.context import TrainingContext, serving_tables
from logitrack_assets.eta.training.feature_rows import TARGET, training_frame
from logitrack_assets.eta.training.fitting import FittedModel, concurrent_tasks, fit
from logitrack_assets.eta.training.onnx_export import from_spark_gbt
from logitrack_assets.eta.training.strategy import STRATEGIES, TreeParameters
from logitrack_assets.eta.trip_counts import count_trips
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake
from logitrack_tests.benchmarks.memory import PeakMemory
from logitrack_tests.benchmarks.spark_session import benchmark_session


def fit_plain_gbt(frame: DataFrame) -> FittedModel:
    """Train MLlib's trees with the usual parameters: `GBTRegressor(maxIter=20, maxDepth=5)`."""
    assembled = VectorAssembler(inputCols=list(FEATURES), outputCol="features").transform(frame)
    estimator = GBTRegressor(featuresCol="features", labelCol=TARGET, maxIter=20, maxDepth=5, seed=1)
    graph = from_spark_gbt(estimator.fit(assembled.select("features", TARGET)))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def score(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return session.run(None, {session.get_inputs()[0].name: matrix})[0].reshape(-1).astype(np.float64)

    return FittedModel(graph, score)


def main() -> None:
    """Print seconds, memory and error of each estimator."""
    arguments = _arguments()
    session = benchmark_session(master=arguments.master, driver_memory=arguments.driver_memory)
    lake = Lake(arguments.home)
    trips = silver_trips(session, [lake.silver(month) for month in lake.silver_months()])
    counts = count_trips(trips)
    past, newest = counts.months[:-1], counts.months[-1]
    copies = max(round(arguments.rows / counts.total(past)), 1)
    repeated = in_months(trips, past).withColumn("copy", F.explode(F.sequence(F.lit(1), F.lit(copies))))
    repeated = repeated.withColumn("row", F.xxhash64("row", "copy")).drop("copy")
    strategy, variant, workers = STRATEGIES[0], Variant.DISTANCE, concurrent_tasks(session)
    context = TrainingContext.from_strategy(strategy, counts.delays, past)
    tested = collect_sample(in_months(trips, [newest]), rows=30_000, total=counts.trips_in_month(newest), seed=1)
    tested = tested.take(variant.mask(tested.batch))
    matrix = feature_matrix(tested.batch, serving_tables(strategy, counts.delays, past[-1]))
    print(f"{counts.total(past) * copies:,} rows, {arguments.master}; predicted month: {newest}")
    memory = PeakMemory()
    estimators: dict[str, Callable[[], FittedModel]] = {
        "xgboost": lambda: fit(repeated, context, TreeParameters(), variant, workers=workers),
        "gbt": lambda: fit_plain_gbt(training_frame(repeated, context, variant, partitions=workers)),
    }
    if arguments.skip_gbt:
        del estimators["gbt"]
    for name, train in estimators.items():
        memory.peak = 0
        started = time.monotonic()
        fitted = train()
        seconds = time.monotonic() - started
        errors = regression_metrics(to_minutes(np.asarray(fitted.score(matrix))), tested.minutes)
        print(
            f"{name:<8} {seconds:7.1f} s  RMSE {errors.rmse_minutes:.3f}  MAE {errors.mae_minutes:.3f}  "
            f"peak memory {memory.peak / 1e9:.1f} GB"
        )
    session.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".logitrack"))
    parser.add_argument("--rows", type=int, default=1_800_000)
    parser.add_argument("--skip-gbt", action="store_true", help="XGBoost only")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--driver-memory", default="2g")
    return parser.parse_args()


if __name__ == "__main__":
    main()
