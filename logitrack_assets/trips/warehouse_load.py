"""Loading of a silver month into the warehouse tables."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import SparkSession

from logitrack_assets.lake import Lake
from logitrack_assets.trips import rollups
from logitrack_assets.trips.manifest import load_manifest, month_summary_tables
from logitrack_assets.warehouse import Warehouse


def load_sample(spark: SparkSession, lake: Lake, warehouse: Warehouse, month: str, rows: int) -> pa.Table:
    """Replace the month in `analytics_sample` and return its new rows.

    Args:
        spark: The session.
        lake: The lake with the silver month.
        warehouse: The target.
        month: `YYYY-MM`.
        rows: Maximum number of trips per fleet.

    Raises:
        MonthError: The month has no silver trips.
        WarehouseError: The load failed; the tables are unchanged.
    """
    manifest = load_manifest(lake, month)
    trips = spark.read.parquet(str(lake.silver(month)))
    table = pa.concat_tables(rollups.sample(trips, month, fleet, rows).toArrow() for fleet in manifest.counts)
    warehouse.replace_month(month, {"analytics_sample": table, **month_summary_tables(manifest, rows)})
    return table


def load_stats(spark: SparkSession, lake: Lake, warehouse: Warehouse, month: str, sample_rows: int) -> dict[str, int]:
    """Replace the month in the rollup tables and return the number of new rows by table.

    Args:
        spark: The session.
        lake: The lake with the silver month.
        warehouse: The target.
        month: `YYYY-MM`.
        sample_rows: Maximum number of trips per fleet in `analytics_sample`, recorded in `trip_months`.

    Raises:
        MonthError: The month has no silver trips.
        WarehouseError: The load failed; the tables are unchanged.
    """
    manifest = load_manifest(lake, month)
    cells = rollups.count_cells(spark.read.parquet(str(lake.silver(month)))).toArrow()
    tables = rollups.rollup_tables(cells, month)
    warehouse.replace_month(month, {**tables, **month_summary_tables(manifest, sample_rows)})
    return {name: table.num_rows for name, table in tables.items()}
