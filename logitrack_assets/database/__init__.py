"""PostgreSQL, the one database: where it is, and its schema. Shared by the assets and the service; imports light."""

from logitrack_assets.database.migrate import migrate
from logitrack_assets.database.server import DatabaseError, database_url, driver_url, wait_for_database

__all__ = ["DatabaseError", "database_url", "driver_url", "migrate", "wait_for_database"]
