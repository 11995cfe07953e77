"""Migrate the database's schema to the newest version; safe when many processes migrate at once."""

from __future__ import annotations

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.schema import CreateSchema

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE, VERSION_SCHEMA = "schema_version", "warehouse"
_LOCK = 0x1061_7AC4  # advisory lock key; any number that only migrations use


def migrate(url: str) -> None:
    """Run every migration that the database lacks, in one transaction.

    Concurrent calls are serialised by an advisory lock; the later ones find nothing to do.
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            connection.execute(CreateSchema(VERSION_SCHEMA, if_not_exists=True))
            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()


def pending(connection: Connection) -> bool:
    """Return whether the database lacks a migration that this code has."""
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
    )
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    return set(context.get_current_heads()) != set(scripts.get_heads())


def alembic_config(connection: Connection) -> Config:
    """Return the Alembic configuration of this package's migrations, to run on `connection`."""
    config = Config(stdout=io.StringIO(), attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
