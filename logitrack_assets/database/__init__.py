"""PostgreSQL: its address, the embedded server and the schema. Shared by both packages; imports light."""

from logitrack_assets.database.connection import database_url, migrated_database_url, wait_for_database
from logitrack_assets.database.migrate import migrate
from logitrack_assets.database.urls import (
    DatabaseError,
    analyst_address,
    driver_url,
    psycopg_dsn,
    with_database,
    with_login,
    with_password,
    without_password,
)

__all__ = [
    "DatabaseError",
    "analyst_address",
    "database_url",
    "driver_url",
    "migrate",
    "migrated_database_url",
    "psycopg_dsn",
    "wait_for_database",
    "with_database",
    "with_login",
    "with_password",
    "without_password",
]
