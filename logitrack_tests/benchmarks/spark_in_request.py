"""What the service is compared with: FastAPI that asks a Spark model within the request, as the usual project does it.

    python -m logitrack_tests.benchmarks.spark_in_request [--requests 20]

It trains a small `GBTRegressor` on made-up rides, keeps the Spark session in the process, and for each request makes a
data frame of one row, transforms it and collects the answer. Prints the milliseconds that this takes over HTTP.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import httpx2
import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import GBTRegressor

from logitrack_tests.benchmarks.spark_session import benchmark_session
from logitrack_tests.service.processes import free_port

COLUMNS = ["pickup_zone", "dropoff_zone", "hour", "weekday"]


class Ride(BaseModel):
    pickup_zone: int
    dropoff_zone: int
    hour: int
    weekday: int


def spark_app() -> FastAPI:
    """The application, with its model trained."""
    spark = benchmark_session(master="local[2]", driver_memory="1g")
    dice = np.random.default_rng(0)
    rows = pd.DataFrame({name: dice.integers(1, 24, 20_000) for name in COLUMNS})
    rows["minutes"] = 5 + rows["hour"] + dice.normal(size=len(rows))
    pipeline = Pipeline(
        stages=[
            VectorAssembler(inputCols=COLUMNS, outputCol="features"),
            GBTRegressor(featuresCol="features", labelCol="minutes", maxIter=20, maxDepth=5),
        ]
    )
    model = pipeline.fit(spark.createDataFrame(rows))
    app = FastAPI()

    @app.post("/predict")
    def predict(ride: Ride) -> dict[str, float]:
        frame = spark.createDataFrame([ride.model_dump()])
        return {"minutes": model.transform(frame).select("prediction").collect()[0][0]}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20)
    chosen = parser.parse_args()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(spark_app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.1)
    took = []
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        ride = {"pickup_zone": 16, "dropoff_zone": 13, "hour": 8, "weekday": 1}
        for _ in range(chosen.requests + 3):
            began = time.perf_counter()
            assert client.post("/predict", json=ride).status_code == 200
            took.append((time.perf_counter() - began) * 1000)
    server.should_exit = True
    thread.join()
    warm = sorted(took[3:])
    median = statistics.median(warm)
    print(f"Spark in the request: median {median:.0f} ms, fastest {warm[0]:.0f} ms, slowest {warm[-1]:.0f} ms")


if __name__ == "__main__":
    main()
