"""Migrations are complete, repeatable, and safe when several processes apply them at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import create_engine, text

from logitrack_assets.database import migrate
from logitrack_assets.database.migrate import has_pending_migrations


def test_concurrent_migrations_create_one_schema(empty_database_url: str) -> None:
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
