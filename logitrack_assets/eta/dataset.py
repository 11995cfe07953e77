"""Valid trips as arrays and as Spark rows: what models are trained and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.eta.traffic import month_numbers
from logitrack_assets.months import Month

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
_SAMPLE_BUCKETS = 1_000_000


@dataclass(frozen=True)
class TripDataset:
    """Finished trips: what was known at request time, and the real duration.

    Attributes:
        row: int64, a hash that identifies the trip and is the same in every run.
        batch: What was known at request time.
        minutes: float64, real duration.
    """

    row: NDArray[np.int64]
    batch: TripBatch
    minutes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def from_arrow(cls, rows: pa.RecordBatch | pa.Table) -> TripDataset:
        """Return the arrays of Arrow rows with the columns of `silver_trips`."""

        def column(name: str) -> pa.Array:
            array = rows.column(name)
            return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

        moments = column("pickup_at").cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
        miles = pc.fill_null(column("distance_miles").cast(pa.float32()), float("nan"))
        fleet = pc.index_in(column("fleet").cast(pa.string()), value_set=pa.array(FLEETS)).cast(pa.int8())
        return cls(
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

    @property
    def month(self) -> NDArray[np.int64]:
        """`Month.number` of each pickup, int64."""
        return month_numbers(self.batch.pickup_at)

    def take(self, rows: NDArray[Any] | slice) -> TripDataset:
        """Return the selected rows."""
        return TripDataset(self.row[rows], self.batch.take(rows), self.minutes[rows])


def silver_trips(session: SparkSession, folders: Sequence[Path], fleets: Sequence[str] = FLEETS) -> DataFrame:
    """Return the valid trips of silver folders with the columns that training uses, and `row`, a hash of the trip."""
    trips = session.read.parquet(*(str(folder) for folder in folders))
    return (
        trips.select(*COLUMNS)
        .where(F.col("fleet").isin(*fleets))
        .withColumn("row", F.xxhash64("fleet", "vendor_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone"))
        .drop("vendor_id", "dropoff_at")
    )


def in_months(trips: DataFrame, months: Sequence[Month]) -> DataFrame:
    """Return the trips whose pickup lies in one of the months."""
    return trips.where(F.date_format("pickup_at", "yyyy-MM").isin(*(str(month) for month in months)))


def collect_sample(trips: DataFrame, *, rows: int, total: int, seed: int) -> TripDataset:
    """Return about `rows` trips, selected and ordered by their hash.

    Args:
        trips: Trips with the columns of `silver_trips`.
        rows: Approximate upper bound of the sample.
        total: Number of trips in `trips`.
        seed: Selects another sample.
    """
    if total > rows:
        buckets = int(rows / total * _SAMPLE_BUCKETS)
        trips = trips.where(F.pmod(F.xxhash64("row", F.lit(seed)), F.lit(_SAMPLE_BUCKETS)) < buckets)
    sample = TripDataset.from_arrow(trips.toArrow())
    return sample.take(np.lexsort((sample.batch.pickup_at.astype(np.int64), sample.row)))
