"""`tables.py` describes exactly what the migrations create."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text

from logitrack_assets.database.check import schema_differences
from logitrack_assets.database.tables import SERVICE, WAREHOUSE

# Alembic compares neither check constraints nor primary keys nor details of indexes: the catalogue has them all.
_CATALOGUE = {
    "columns": """
        select c.oid::regclass::text, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity, pg_get_expr(d.adbin, d.adrelid)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace in ('service'::regnamespace, 'warehouse'::regnamespace) and c.relkind = 'r'
          and c.relname <> 'schema_version'
    """,
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where connamespace in ('service'::regnamespace, 'warehouse'::regnamespace)
          and conrelid <> coalesce(to_regclass('warehouse.schema_version'), 0)
    """,
    "indexes": """
        select indexdef from pg_indexes where schemaname in ('service', 'warehouse') and tablename <> 'schema_version'
    """,
}


def _catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: sorted(tuple(map(str, row)) for row in connection.execute(text(sql)))
            for name, sql in _CATALOGUE.items()
        }
    engine.dispose()
    return found


def test_autogenerate_finds_no_difference(database_url: str) -> None:
    assert schema_differences(database_url) == []


@pytest.mark.parametrize(
    "change",
    [
        "alter table service.accounts add column email text",
        "alter table service.throttle alter column attempts type bigint",
        "alter table service.sessions alter column reason set not null",
        "alter table service.accounts alter column role set default 'admin'",
        "drop index service.audit_events_promotions",
        "alter table service.refresh_tokens drop constraint refresh_tokens_session_id_fkey",
        "create table warehouse.forgotten (x int)",
    ],
)
def test_autogenerate_finds_a_difference(database_url: str, change: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(change))
    engine.dispose()
    assert len(schema_differences(database_url)) == 1


def test_created_tables_equal_migrated_tables(database_url: str) -> None:
    migrated = _catalogue(database_url)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("drop schema service, warehouse, analytics cascade"))
        for metadata in (SERVICE, WAREHOUSE):
            connection.execute(text(f"create schema {metadata.schema}"))
            metadata.create_all(connection)
    engine.dispose()
    created = _catalogue(database_url)
    assert len(migrated["columns"]) > 100
    for name in _CATALOGUE:
        assert created[name] == migrated[name]
