"""Migrations: complete, repeatable, and safe when several processes start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import create_engine, text

from logitrack_assets.database import migrate
from logitrack_assets.database.migrate import pending


def test_many_at_once_end_with_one_schema(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(migrate, [empty_database_url] * 6))
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        assert not pending(connection)
        schemas = set(connection.execute(text("select schema_name from information_schema.schemata")).scalars())
        assert {"warehouse", "service", "analytics"} <= schemas
    engine.dispose()


def test_an_empty_database_is_behind(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        assert pending(connection)
    engine.dispose()
