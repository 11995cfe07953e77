"""Schema migrations by Alembic, safe when many processes start at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE, VERSION_SCHEMA = "schema_version", "warehouse"
_ADVISORY_LOCK = 0x1061_7AC4  # an arbitrary key; no other lock of the project uses it


def migrate(url: str) -> None:
    """Apply every migration that the database lacks, in one transaction.

    Concurrent callers wait for an advisory lock and then find nothing to apply.
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            connection.execute(text("create schema if not exists warehouse"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def has_pending_migrations(connection: Connection) -> bool:
    """Return whether this code has a migration that the database lacks."""
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
    )
    return set(context.get_current_heads()) != set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
