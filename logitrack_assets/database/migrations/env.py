"""Alembic's entry: runs the migrations on the connection that `logitrack_assets.database.migrate` hands over."""

from alembic import context

from logitrack_assets.database.migrate import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
)
context.run_migrations()
