"""Migrations: complete, repeatable, self-contained, and safe when several processes start at once."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text

from logitrack_assets.database import migrate
from logitrack_assets.database.migrate import MIGRATIONS, has_pending_migrations
from logitrack_assets.database.tables import zones as zones_table
from logitrack_assets.reference.zones import zones


def test_concurrent_migrations_produce_one_schema(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(migrate, [empty_database_url] * 6))
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        assert not has_pending_migrations(connection)
        schemas = set(connection.execute(text("select schema_name from information_schema.schemata")).scalars())
        assert {"warehouse", "service", "analytics"} <= schemas
    engine.dispose()


def test_empty_database_has_pending_migrations(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        assert has_pending_migrations(connection)
    engine.dispose()


@pytest.mark.parametrize("migration", sorted((MIGRATIONS / "versions").glob("*.py")), ids=lambda path: path.stem)
def test_migration_imports_nothing_of_this_project(migration: Path) -> None:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(migration.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "." * node.level)
    assert "alembic" in modules
    assert not [module for module in modules if module.startswith(("logitrack", "."))]


def test_migrated_zones_equal_reference_zones(database_url: str) -> None:
    """A change of the reference zones needs a migration that changes the warehouse's zones as well."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(select(zones_table).order_by(zones_table.c.zone)).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [
        (zone.zone, zone.borough, zone.name, zone.service_zone, zone.lat, zone.lon) for zone in zones()
    ]
