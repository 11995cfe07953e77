"""Quality checks of a month in the warehouse, as plain functions; see `quality` for those of the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from logitrack_assets.lake import Lake
from logitrack_assets.trips.manifest import load_manifest
from logitrack_assets.trips.rollups import TABLES
from logitrack_assets.warehouse import SCHEMA, Warehouse, WarehouseError


def sample_size_and_keys(warehouse: Warehouse, month: str) -> Iterator[str]:
    """The sample has trips of each fleet, not more than were asked for, and each trip once."""
    counts = _query(
        warehouse,
        "select m.fleet, m.sample_rows, count(s.trip_id), count(distinct s.trip_id) "
        "from warehouse.trip_months m left join warehouse.analytics_sample s using (month, fleet) "
        "where m.month = %s group by 1, 2 order by 1",
        [month],
    )
    if not counts:
        yield f"{month}: there is no sample"
    for fleet, limit, rows, keys in counts:
        if not 0 < rows <= limit:
            yield f"{month} {fleet}: {rows:,} trips are in the sample; 1 to {limit:,} were asked for"
        if keys != rows:
            yield f"{month} {fleet}: {rows - keys:,} trips are in the sample more than once"


def every_trip_counted(lake: Lake, warehouse: Warehouse, month: str) -> Iterator[str]:
    """Each rollup table counts as many trips of each fleet as silver has."""
    silver = {fleet: count.silver for fleet, count in load_manifest(lake, month).counts.items()}
    for table in TABLES:
        statement = sql.SQL("select fleet, sum(trips)::bigint from {} where month = %s group by 1").format(
            sql.Identifier(SCHEMA, table)
        )
        counted: dict[str, int] = dict(_query(warehouse, statement, [month]))
        for fleet in sorted(silver.keys() | counted.keys()):
            if silver.get(fleet, 0) != counted.get(fleet, 0):
                yield (
                    f"{month} {fleet}: {table} counts {counted.get(fleet, 0):,} trips, "
                    f"silver has {silver.get(fleet, 0):,}"
                )


def _query(warehouse: Warehouse, statement: str | sql.Composed, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    try:
        with warehouse.connect() as connection:
            return connection.execute(statement, parameters).fetchall()
    except psycopg.Error as error:
        raise WarehouseError(f"The warehouse could not be checked: {' '.join(str(error).split())}") from error
