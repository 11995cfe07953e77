"""Connection pool of a worker process."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE, MAX_OVERFLOW = 5, 10  # connections per worker
CONNECT_TIMEOUT_SECONDS = 3
STATEMENT_TIMEOUT_SECONDS = 15


def connect(url: str) -> AsyncEngine:
    """Return an engine with the connection pool of one worker.

    `pool_pre_ping` costs one round trip per checkout and avoids an error per pooled connection after a restart of
    PostgreSQL. `hide_parameters` keeps user input out of error messages and therefore out of the log.

    Args:
        url: SQLAlchemy URL with the driver psycopg.
    """
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "logitrack-service",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c timezone=UTC",
        },
    )
