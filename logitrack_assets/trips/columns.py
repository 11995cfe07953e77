"""Column schemas and column lineage of the trip tables, as Dagster shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import AssetKey, TableColumn, TableColumnDep, TableColumnLineage, TableSchema
from sqlalchemy import Table

from logitrack_assets.database import tables
from logitrack_assets.materializations import COLUMN_ENTRIES
from logitrack_assets.trips.asset_names import BRONZE, SILVER, SOURCE
from logitrack_assets.trips.rollups import TABLES
from logitrack_assets.trips.schema import PUBLISHED_COLUMNS, REJECTED, TRIP_KEY, Column
from logitrack_assets.trips.schema import SILVER as SILVER_COLUMNS

_DERIVED_FROM = {
    "duration_minutes": ("pickup_at", "dropoff_at"),
    "pickup_hour": ("pickup_at",),
    "pickup_weekday": ("pickup_at",),
    "is_holiday": ("pickup_at",),
    "pickup_borough": ("pickup_zone",),
    "dropoff_borough": ("dropoff_zone",),
    "rule": (*TRIP_KEY[1:], "distance_miles"),
}
"""Canonical columns that a derived column of silver or rejected is computed from."""
_ROLLUP_FROM = {
    "month": ("pickup_at",),
    "fleet": ("fleet",),
    "weekday": ("pickup_weekday",),
    "hour": ("pickup_hour",),
    "zone": ("pickup_zone", "dropoff_zone"),
    "pickup_zone": ("pickup_zone",),
    "dropoff_zone": ("dropoff_zone",),
    "payment_type": ("payment_type",),
    "trips": (),
    "duration_sum": ("duration_minutes",),
    "distance_sum": ("distance_miles",),
    "bins": ("duration_minutes",),
    "counts": ("duration_minutes",),
}
"""Columns of silver that a rollup column is computed from."""
_MEANINGS = {
    "month": "Month, YYYY-MM",
    "trip_id": "Hash that identifies the trip, the same in every run",
    "weekday": "ISO weekday of the pickup, Monday is 1",
    "hour": "Hour of the pickup, 0 to 23",
    "zone": "Taxi zone",
    "direction": "Whether trips begin or end in the zone",
    "trips": "Number of trips",
    "duration_sum": "Sum of the durations, minutes",
    "distance_sum": "Sum of the metered distances, miles",
    "bins": "Bins of the duration sketch (DDSketch), ascending",
    "counts": "Trips in each bin",
    "model_version": "Version that the month is compared with",
    "measure": "What is compared: PSI of an input, number of trips, error",
    "value": "Value of the measure",
    "threshold": "Limit of the value; a ratio of trips is limited in both directions",
    "drifted": "Whether the value is beyond the threshold",
    "computed_at": "Time of the comparison",
}
"""Meaning of warehouse columns that silver does not have."""
ROLLUP_TABLES = (*TABLES, "trip_stats_zone")


def lake_entries(columns: Mapping[str, Column], files: Iterable[str] | None = None) -> dict[str, Any]:
    """Return schema and lineage of silver or rejected.

    Args:
        columns: Columns of the table.
        files: Columns of the month's published files; every name that any generation of files uses when None.
    """
    published = {column.name: column.sources for column in PUBLISHED_COLUMNS}
    names = None if files is None else {name.lower(): name for name in files}

    def sources(canonical: str) -> list[str]:
        aliases = published.get(canonical, ())
        return list(aliases) if names is None else [names[alias] for alias in aliases if alias in names]

    lineage = {
        name: [source for canonical in _DERIVED_FROM.get(name, (name,)) for source in sources(canonical)]
        for name in columns
    }
    return _entries(_schema(columns.values()), BRONZE, lineage)


def file_entries(schemas: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return schema and lineage of bronze: the columns of the published files.

    Args:
        schemas: Type by column by fleet.
    """
    types = {name: kind for schema in schemas.values() for name, kind in schema.items()}
    meanings = {source: column.meaning for column in PUBLISHED_COLUMNS for source in column.sources}
    schema = TableSchema([TableColumn(name, kind, meanings.get(name.lower())) for name, kind in types.items()])
    return _entries(schema, SOURCE, {name: [name] for name in types})


def newest_file_entries() -> dict[str, Any]:
    """Return schema and lineage of bronze by the names of the newest generation of files."""
    return file_entries({"": {column.sources[0]: column.type for column in PUBLISHED_COLUMNS}})


def sample_entries() -> dict[str, Any]:
    """Return schema and lineage of analytics_sample."""
    lineage = {
        column.name: {"trip_id": list(TRIP_KEY), "month": ["pickup_at"]}.get(column.name, [column.name])
        for column in tables.analytics_sample.columns
    }
    return _entries(table_schema([tables.analytics_sample]), SILVER, lineage)


def rollup_entries() -> dict[str, Any]:
    """Return schema and lineage of trip_stats: the columns of all its tables."""
    rollups = [getattr(tables, name) for name in ROLLUP_TABLES]
    lineage = {column.name: list(_ROLLUP_FROM.get(column.name, ())) for table in rollups for column in table.columns}
    return _entries(table_schema(rollups), SILVER, lineage)


def drift_entries() -> dict[str, Any]:
    """Return schema and lineage of eta_drift."""
    compared = ["pickup_zone", "dropoff_zone", "pickup_at", "distance_miles", "duration_minutes", "fleet"]
    lineage = {"month": ["pickup_at"], "fleet": ["fleet"], "value": compared, "drifted": compared}
    return _entries(table_schema([tables.eta_drift]), SILVER, lineage)


def table_schema(database_tables: Sequence[Table]) -> TableSchema:
    """Return the columns of one or more warehouse tables; a column that not all of them have names its tables."""
    kinds: dict[str, str] = {}
    holders: dict[str, list[str]] = {}
    for table in database_tables:
        for column in table.columns:
            kinds.setdefault(column.name, str(column.type).lower())
            holders.setdefault(column.name, []).append(table.name)

    def description(name: str) -> str | None:
        meaning = SILVER_COLUMNS[name].meaning if name in SILVER_COLUMNS else _MEANINGS.get(name)
        if len(holders[name]) == len(database_tables):
            return meaning
        return f"{meaning or name} (in {', '.join(holders[name])})"

    return TableSchema([TableColumn(name, kind, description(name)) for name, kind in kinds.items()])


def _schema(columns: Iterable[Column]) -> TableSchema:
    return TableSchema([TableColumn(column.name, column.type, column.meaning) for column in columns])


def _entries(schema: TableSchema, source: str, lineage: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    key = AssetKey(source)
    deps = {column: [TableColumnDep(key, name) for name in names] for column, names in lineage.items() if names}
    return dict(zip(COLUMN_ENTRIES, (schema, TableColumnLineage(deps)), strict=True))


SILVER_ENTRIES = lake_entries(SILVER_COLUMNS)
REJECTED_ENTRIES = lake_entries(REJECTED)
