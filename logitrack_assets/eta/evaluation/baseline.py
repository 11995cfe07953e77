"""The yardstick without a model: the median of the same pair of zones at the same hour, with fallbacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logitrack_assets.eta.features import ZONES, TripBatch
from logitrack_assets.eta.training.fitting import in_months


def baseline_minutes(past: DataFrame, months: Sequence[int], asked: TripBatch) -> NDArray[np.float64]:
    """Median minutes of past trips of the months (month numbers) for each trip asked about, float64 (len(asked),).

    The pair of zones at that hour; where no trip was then, the pair at any hour; where there is none at all, the
    median of all trips. Only pairs that are asked about are computed.
    """
    wanted = np.unique(asked.pickup_zone.astype(np.int64) * ZONES + asked.dropoff_zone)
    session = past.sparkSession
    pairs = session.createDataFrame(
        [(int(pair // ZONES), int(pair % ZONES)) for pair in wanted],
        "pickup_zone smallint, dropoff_zone smallint",
    )
    trips = in_months(past, months).select(
        "pickup_zone", "dropoff_zone", F.hour("pickup_at").alias("hour"), "duration_minutes"
    )
    near = trips.join(F.broadcast(pairs), ["pickup_zone", "dropoff_zone"])
    # grouping sets give both medians in one pass: hour is null in the rows that are for any hour
    medians = (
        near.groupingSets(
            [["pickup_zone", "dropoff_zone", "hour"], ["pickup_zone", "dropoff_zone"]],
            "pickup_zone",
            "dropoff_zone",
            "hour",
        )
        .agg(F.percentile_approx("duration_minutes", 0.5, 1000).alias("minutes"))
        .toArrow()
    )
    overall = trips.agg(F.percentile_approx("duration_minutes", 0.5, 1000)).first()
    table = np.full((ZONES * ZONES, 25), np.nan)
    hour = medians["hour"].fill_null(24).to_numpy()
    table[medians["pickup_zone"].to_numpy().astype(np.int64) * ZONES + medians["dropoff_zone"].to_numpy(), hour] = (
        medians["minutes"].to_numpy()
    )
    pair = asked.pickup_zone.astype(np.int64) * ZONES + asked.dropoff_zone
    answer = table[pair, asked.pickup_at.astype(np.int64) % 86400 // 3600]
    answer = np.where(np.isnan(answer), table[pair, 24], answer)
    return np.where(np.isnan(answer), overall[0] if overall else np.nan, answer)
