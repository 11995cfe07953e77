"""Schema migrations by Alembic, safe when many processes start at once."""

from __future__ import annotations

import io
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateSchema

from logitrack_assets.database.urls import DatabaseError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE, VERSION_SCHEMA = "schema_version", "warehouse"
_ADVISORY_LOCK = 0x1061_7AC4  # an arbitrary key; no other lock of the project uses it


def migrate(url: str) -> None:
    """Apply every migration that the database lacks, in one transaction.

    Concurrent callers wait for an advisory lock and then find nothing to apply. When nothing is pending this only
    reads, so that a login without the owner's rights can call it as well.

    Raises:
        DatabaseError: Migrations are pending, and this login may not apply them.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if not has_pending_migrations(connection):
                return
        with engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            connection.execute(CreateSchema(VERSION_SCHEMA, if_not_exists=True))
            command.upgrade(alembic_config(connection), "head")
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise DatabaseError(
            "The database lacks migrations or grants that this version needs, and this login may not make them.",
            hint="Run `logitrack database migrate` with an administrator's login.",
        ) from None
    finally:
        engine.dispose()


def has_pending_migrations(connection: Connection) -> bool:
    """Return whether this code has a migration that the database lacks."""
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
