"""The regime change of March 2020, when traffic collapsed, without manual action.

A model is trained on months up to February 2020. March, April and May then appear at the source, one after another.
Sensors must find them, train, evaluate and promote, so that June is predicted better than by the model of February.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_tests.end_to_end.conftest import Installation

BEFORE = ("2019-10", "2019-11", "2019-12", "2020-01", "2020-02")
CHANGE = ("2020-03", "2020-04", "2020-05")
TEST_MONTH = "2020-06"


def _publish(months: tuple[str, ...], tlc_folder: Path, source: Path) -> None:
    (source / "trip-data").mkdir(parents=True, exist_ok=True)
    for month in months:
        name = f"yellow_tripdata_{month}.parquet"
        shutil.copy(tlc_folder / "trip-data" / name, source / f".{name}")
        (source / f".{name}").rename(source / "trip-data" / name)


def _until(what: str, true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)


def _error(artifact: Predictor, file: Path) -> float:
    """Return the mean absolute error in minutes on a published month: zones only, trips of 1 to 180 minutes."""
    trips = pq.read_table(file)
    seconds = pc.subtract(
        pc.cast(trips["tpep_dropoff_datetime"], "timestamp[s]"), pc.cast(trips["tpep_pickup_datetime"], "timestamp[s]")
    )
    minutes = pc.cast(seconds, "int64").to_numpy() / 60
    pickup, dropoff = trips["PULocationID"].to_numpy(), trips["DOLocationID"].to_numpy()
    valid = (minutes >= 1) & (minutes <= 180) & (pickup >= 1) & (pickup <= 263) & (dropoff >= 1) & (dropoff <= 263)
    moments = trips["tpep_pickup_datetime"].to_numpy().astype("datetime64[s]")
    batch = TripBatch.from_columns(pickup[valid].astype(int), dropoff[valid].astype(int), moments[valid])
    return float(np.abs(artifact.minutes(batch) - minutes[valid]).mean())


@pytest.mark.timeout(1500)
@pytest.mark.long
def test_model_adapts_without_manual_action(tmp_path: Path, tlc_folder: Path) -> None:
    source = tmp_path / "source"
    _publish(BEFORE, tlc_folder, source)
    installation = Installation(tmp_path / "home")
    settings = {
        "LOGITRACK_TLC_URL": str(source),
        "LOGITRACK_SOURCE_INTERVAL_SECONDS": "5",
        "LOGITRACK_RETRAIN_INTERVAL_SECONDS": "5",
    }
    made = installation.run("materialize", "--months", f"{BEFORE[0]}:{BEFORE[-1]}", timeout=900, **settings)
    assert made.returncode == 0, made.stdout + made.stderr
    models = ModelRegistry(installation.home / "models")
    old = models.champion()
    assert old is not None

    running = installation.start("up", **settings)
    try:
        installation.wait_until_ready(running, seconds=240)
        lake = Lake(installation.home)
        for month in CHANGE:
            _publish((month,), tlc_folder, source)
            _until(f"{month} is ingested", lambda month=month: month in lake.silver_months(), seconds=400)
            _until(f"a candidate saw {month}", lambda month=month: _seen(models, month), seconds=400)
        _until("a new champion saw the change", lambda: _champion_saw(models, CHANGE[-1]), seconds=200)
        champion = models.champion()
        assert champion is not None
        _until("the service answers with it", lambda: _served(installation) == champion.version, seconds=15)

        drifted = set(installation.query("select distinct month from warehouse.eta_drift where drifted order by month"))
        assert {"2020-03", "2020-04"} <= drifted

        june = tlc_folder / "trip-data" / f"yellow_tripdata_{TEST_MONTH}.parquet"
        before = _error(models.load(old.version), june)
        after = _error(models.load(champion.version), june)
        assert after <= 0.8 * before, f"June: {before:.2f} minutes before, {after:.2f} after"
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)
    assert installation.none_left()


def _seen(models: ModelRegistry, month: str) -> bool:
    versions = models.versions()
    return bool(versions) and month in models.manifest(versions[-1]).training_months


def _champion_saw(models: ModelRegistry, month: str) -> bool:
    champion = models.champion()
    return champion is not None and month in models.manifest(champion.version).training_months


def _served(installation: Installation) -> str | None:
    ready = json.loads(httpx2.get(f"{installation.service}/health/ready", timeout=10).text)
    return ready["model_version"]
