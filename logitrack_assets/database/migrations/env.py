"""Alembic's entry: runs the migrations on the connection that `logitrack_assets.database.migrate` hands over."""

from alembic import context

from logitrack_assets.database.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], **VERSION_TABLE)
context.run_migrations()
