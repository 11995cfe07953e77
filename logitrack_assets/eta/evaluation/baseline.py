"""The baseline without a model: the median duration of the same zone pair at the same hour, with fallbacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logitrack_assets.eta.dataset import in_months
from logitrack_assets.eta.features import ZONES, TripBatch
from logitrack_assets.months import Month
from logitrack_assets.nyc_calendar import hour_of_day

_ANY_HOUR = 24
_MEDIAN_ACCURACY = 1000  # of percentile_approx: relative error 1/1000


def baseline_minutes(past: DataFrame, months: Sequence[Month], requested: TripBatch) -> NDArray[np.float64]:
    """Return the baseline's minutes for the requested trips, float64 (len(requested),).

    The median of past trips of the zone pair at that hour; without such trips that of the pair at any hour; without
    those the median of all trips. Medians are computed for requested pairs only.

    Args:
        past: Trips with the columns of `silver_trips`.
        months: Months of `past` that the medians use.
        requested: The trips to predict.
    """
    trips = in_months(past, months).select(
        "pickup_zone", "dropoff_zone", F.hour("pickup_at").alias("hour"), "duration_minutes"
    )
    medians = _pair_medians(trips, np.unique(_pairs(requested)))
    overall = trips.agg(F.percentile_approx("duration_minutes", 0.5, _MEDIAN_ACCURACY)).first()
    table = np.full((ZONES * ZONES, 25), np.nan)
    pair = medians["pickup_zone"].to_numpy().astype(np.int64) * ZONES + medians["dropoff_zone"].to_numpy()
    table[pair, medians["hour"].fill_null(_ANY_HOUR).to_numpy()] = medians["minutes"].to_numpy()

    requested_pair = _pairs(requested)
    minutes = table[requested_pair, hour_of_day(requested.pickup_at)]
    minutes = np.where(np.isnan(minutes), table[requested_pair, _ANY_HOUR], minutes)
    return np.where(np.isnan(minutes), overall[0] if overall else np.nan, minutes)


def _pairs(trips: TripBatch) -> NDArray[np.int64]:
    """Return one number for each trip's zone pair."""
    pairs: NDArray[np.int64] = trips.pickup_zone.astype(np.int64) * ZONES + trips.dropoff_zone
    return pairs


def _pair_medians(trips: DataFrame, pairs: NDArray[np.int64]) -> pa.Table:
    """Return the median minutes of the pairs by hour, and with a null hour those of all hours."""
    requested = trips.sparkSession.createDataFrame(
        [(int(pair // ZONES), int(pair % ZONES)) for pair in pairs],
        "pickup_zone smallint, dropoff_zone smallint",
    )
    by_hour = ["pickup_zone", "dropoff_zone", "hour"]
    # Grouping sets compute both medians in one pass.
    return (
        trips.join(F.broadcast(requested), ["pickup_zone", "dropoff_zone"])
        .groupingSets([by_hour, by_hour[:2]], *by_hour)
        .agg(F.percentile_approx("duration_minutes", 0.5, _MEDIAN_ACCURACY).alias("minutes"))
        .toArrow()
    )
