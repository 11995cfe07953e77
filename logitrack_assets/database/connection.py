"""The database of this installation: its address, and the wait until it accepts connections."""

from __future__ import annotations

import time

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from logitrack_assets.database.embedded import embedded_url
from logitrack_assets.database.migrate import migrate
from logitrack_assets.database.urls import DatabaseError, driver_url, with_password, without_password
from logitrack_assets.settings import Settings

RETRY_SECONDS = 0.2


def database_url(settings: Settings) -> str:
    """Return the address of PostgreSQL as `postgresql+psycopg://…`.

    Starts the embedded server when no address is set; see `embedded.embedded_url` for how long it runs.

    Raises:
        DatabaseError: The address cannot be used, or the embedded server does not start.
    """
    if settings.database_url is not None:
        return with_password(
            driver_url(settings.database_url.get_secret_value(), "psycopg"), settings.database_password
        )
    return embedded_url(settings.home / "postgres", port=settings.postgres_port)


def wait_for_database(url: str, *, seconds: float = 10) -> None:
    """Block until PostgreSQL accepts a connection.

    Raises:
        DatabaseError: It did not within `seconds`, or it refused for a reason that waiting does not change.
    """
    engine = create_engine(url, connect_args={"connect_timeout": 3})
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text("select 1"))
                return
            except OperationalError as error:
                if time.monotonic() > deadline:
                    reason = str(error.orig).strip().splitlines()[0]
                    raise DatabaseError(
                        f"PostgreSQL at {without_password(url)} does not answer ({reason}).",
                        hint="Start it, or correct LOGITRACK_DATABASE_URL.",
                    ) from None
                time.sleep(RETRY_SECONDS)
            except SQLAlchemyError as error:
                raise DatabaseError(
                    f"PostgreSQL at {without_password(url)} cannot be used ({error}).",
                    hint="Check LOGITRACK_DATABASE_URL and the rights of its user.",
                ) from None
    finally:
        engine.dispose()


def migrated_database_url(settings: Settings) -> str:
    """Return the address after the database accepts connections and its schema is current.

    The start of every command and of every Dagster process calls this, so that assets, checks and sensors can rely on
    the schema.

    Raises:
        DatabaseError: PostgreSQL cannot be reached or started, or this login may not run the pending migrations.
    """
    url = database_url(settings)
    wait_for_database(url)
    migrate(url)
    return url
