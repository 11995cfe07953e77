"""Addresses of PostgreSQL: one value from the settings, written as each driver and each reader needs it."""

from __future__ import annotations

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from logitrack_assets.errors import LogitrackError


class DatabaseError(LogitrackError):
    """PostgreSQL cannot be reached or started, or its address cannot be used."""


def driver_url(url: str, driver: str) -> str:
    """Return the address for SQLAlchemy with a driver (`psycopg`, `psycopg2`), whatever scheme it was given with.

    Raises:
        DatabaseError: It is not the address of a PostgreSQL database.
    """
    hint = "Write LOGITRACK_DATABASE_URL as postgresql://user:password@host/database."
    try:
        parsed = make_url(url)
    except ArgumentError:  # its text can hold the password
        raise DatabaseError("LOGITRACK_DATABASE_URL is not a database address.", hint=hint) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(
            f"LOGITRACK_DATABASE_URL names {parsed.drivername!r}; only PostgreSQL is supported.", hint=hint
        )
    return _render(parsed.set(drivername=f"postgresql+{driver}"))


def psycopg_dsn(url: str) -> str:
    """Return the address as `psycopg.connect` takes it: without the name of a SQLAlchemy driver."""
    return _render(make_url(url).set(drivername="postgresql"))


def with_login(url: str, *, username: str, password: str | None) -> str:
    """Return the address of the same database for another login; special characters are quoted."""
    return _render(make_url(url).set(username=username, password=password))


def analyst_address(url: str, *, role: str, password: str, embedded_port: int | None) -> str:
    """Return the address at which an analyst's own tools connect: `postgresql://…`.

    Args:
        url: Address of the database for this process.
        role: The analyst's login.
        password: Its password.
        embedded_port: Port of the embedded server on loopback; None for an external server.
    """
    address = make_url(url).set(drivername="postgresql", username=role, password=password)
    if embedded_port is not None:
        address = URL.create(
            "postgresql", role, password, host="127.0.0.1", port=embedded_port, database=address.database
        )
    return _render(address)


def with_password(url: str, password: SecretStr | None) -> str:
    """Return the address with a password; special characters are quoted. None leaves the address as it is."""
    return url if password is None else _render(make_url(url).set(password=password.get_secret_value()))


def with_database(url: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return _render(make_url(url).set(database=name))


def without_password(url: str) -> str:
    """Return the address for messages, with the password masked."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=True)


def _render(url: URL) -> str:
    # SQLAlchemy leaves spaces in passwords as they are, and libpq refuses them.
    return url.render_as_string(hide_password=False).replace(" ", "%20")
