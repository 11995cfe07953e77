"""Connections to PostgreSQL, and what must be true of it before the service answers."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from logitrack_assets.database import psycopg_dsn

POOL_SIZE, OVERFLOW = 5, 10  # per worker
STATEMENT_SECONDS = 15

log = structlog.get_logger("logitrack.service")


def connect(url: str) -> AsyncEngine:
    """A pool of connections for one worker.

    `pool_pre_ping` costs a round trip and spares every request after a restart of PostgreSQL an error;
    `hide_parameters` keeps what people typed out of error messages and so out of logs.
    """
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=OVERFLOW,
        pool_timeout=3,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 3,
            "application_name": "logitrack-service",
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c timezone=UTC",
        },
    )


def driver_dsn(url: str) -> str:
    """The same address as psycopg itself writes it, for the few who need the bare driver."""
    return psycopg_dsn(url)
