"""Alembic environment: runs on the connection that `logitrack_assets.database.migrate` passes in."""

from alembic import context

from logitrack_assets.database.migrate import VERSION_SCHEMA, VERSION_TABLE
from logitrack_assets.database.tables import SERVICE, WAREHOUSE

_SCHEMAS = {metadata.schema for metadata in (SERVICE, WAREHOUSE)}

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
    # For autogenerate (`alembic check`): only tables of these schemas are compared. The views, functions and sketch
    # aggregates of `analytics` are outside of it.
    target_metadata=[SERVICE, WAREHOUSE],
    include_schemas=True,
    include_name=lambda name, type_, _: type_ != "schema" or name in _SCHEMAS,
    compare_server_default=True,
)
context.run_migrations()
