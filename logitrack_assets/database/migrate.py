"""Brings the database's schema to the newest version; safe when many processes do it at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE, VERSION_SCHEMA = "schema_version", "warehouse"
_LOCK = 0x1061_7AC4  # any number that only this migration uses


def migrate(url: str) -> None:
    """Runs every migration that the database does not have yet, in one transaction.

    Whoever comes second waits for an advisory lock and then finds nothing to do.
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            connection.execute(text("create schema if not exists warehouse"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def pending(connection: Connection) -> bool:
    """Whether the database lacks a migration that this code has."""
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
    )
    return set(context.get_current_heads()) != set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
