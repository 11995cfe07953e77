"""Features computed in Spark's workers, by the same function that serving uses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.features import FEATURES, FeatureTables, feature_matrix
from logitrack_assets.eta.training.context import TrainingContext
from logitrack_assets.eta.variant import Variant

TARGET, WEIGHT = "log_minutes", "weight"


def training_frame(trips: DataFrame, context: TrainingContext, variant: Variant, *, partitions: int) -> DataFrame:
    """Return the rows for an estimator: a float column per feature, `TARGET` and `WEIGHT`.

    Partition and order of a row depend on the row only, so the same trips and seed give the same trees.
    """
    if variant is Variant.DISTANCE:
        trips = trips.where(F.col("distance_miles").isNotNull())
    shared = trips.sparkSession.sparkContext.broadcast(context)

    def with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            rows = TripDataset.from_arrow(batch)
            matrix, target = shared.value.matrix(rows, variant)
            weights = shared.value.row_weights(rows)
            yield pa.record_batch({**_columns(matrix), TARGET: pa.array(target), WEIGHT: pa.array(weights)})

    schema = ", ".join([*(f"{name} float" for name in FEATURES), f"{TARGET} double", f"{WEIGHT} double"])
    order = ("row", "pickup_at", "distance_miles", "duration_minutes")
    return trips.repartition(partitions, "row").sortWithinPartitions(*order).mapInArrow(with_features, schema)


def spark_features(trips: DataFrame, requested: TripDataset, tables: FeatureTables) -> NDArray[np.float32]:
    """Return the features of trips as training computes them: in Spark's workers, from silver rows.

    Args:
        trips: The frame that the requested trips were collected from.
        requested: The trips.
        tables: Lookup tables of the features.

    Returns:
        float32 (len(requested), len(FEATURES)) in the order of `requested`.
    """
    shared = trips.sparkSession.sparkContext.broadcast((np.sort(requested.row), tables))

    def with_features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows, lookup_tables = shared.value
        for batch in batches:
            found = TripDataset.from_arrow(batch)
            place = np.minimum(np.searchsorted(rows, found.row), len(rows) - 1)
            found = found.take(rows[place] == found.row)
            if len(found):
                matrix = feature_matrix(found.batch, lookup_tables)
                yield pa.record_batch({"row": pa.array(found.row), **_columns(matrix)})

    schema = ", ".join(["row long", *(f"{name} float" for name in FEATURES)])
    table = trips.mapInArrow(with_features, schema).toArrow()
    rows, first = np.unique(table["row"].to_numpy(), return_index=True)
    matrix = np.stack([table[name].to_numpy() for name in FEATURES], axis=1)[first]
    return np.ascontiguousarray(matrix[np.searchsorted(rows, requested.row)])


def _columns(matrix: NDArray[np.float32]) -> dict[str, pa.Array]:
    """Return the columns of a feature matrix by name."""
    return {name: pa.array(matrix[:, index]) for index, name in enumerate(FEATURES)}
