"""Analysts' own SQL queries.

PostgreSQL itself refuses whatever is not allowed: the analyst role can only read the views in `analytics`. The text
becomes a sub-query and is sent with the extended protocol, which accepts one statement, so it can only be a query; a
row that is too large fails in PostgreSQL before it reaches this process. Each query has its own connection, so no
session state outlives it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import msgspec
import psycopg
from psycopg import AsyncConnection

from logitrack_service.analytics.result_values import json_value, register_loaders, value_size
from logitrack_service.errors import (
    InvalidRequestError,
    TimeLimitExceededError,
    TooLargeError,
    UnavailableError,
)
from logitrack_service.settings import ServiceSettings

MAX_CONCURRENT_QUERIES = 4  # per worker
QUEUE_SECONDS = 2.0  # a query waits this long for one of the above
GRACE_SECONDS = 3.0  # for PostgreSQL to enforce the statement's limit before this process does
RETRY_SECONDS = 5
WORK_MEMORY = "32MB"
MAX_PARAMETERS = 1_000

# psycopg's `%(name)s` and `:name` are equivalent; strings, quoted names, comments and casts are left as they are. This
# is no security boundary: values are bound by PostgreSQL.
_PLACEHOLDER = re.compile(
    # What is not terminated ends at the end of the text: searching its end again from every start would take seconds.
    r"""'(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | --[^\n]* | /\*.*?(?:\*/|\Z)
        | (?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?:(?P=tag)|\Z) | ::
        | :(?P<plain>[A-Za-z_]\w*) | %\((?P<named>[A-Za-z_]\w*)\)s""",
    re.VERBOSE | re.DOTALL,
)

Value = str | int | float | bool | None | list[str | int | float]


class QueryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One SELECT over the views in `analytics`, with values to bind: `$1` for a list, `:name` for an object."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    parameters: (
        Annotated[dict[str, Value], msgspec.Meta(max_length=MAX_PARAMETERS)]
        | Annotated[list[Value], msgspec.Meta(max_length=MAX_PARAMETERS)]
        | None
    ) = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000, description="Rows to return at most.")] = 1_000
    explain: Annotated[bool, msgspec.Meta(description="Return the plan instead of rows.")] = False


class QueryResponse(msgspec.Struct):
    """Columns and rows; `truncated` means that the query has more rows."""

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: float


class AnalystQueries:
    """Runs analysts' queries, with a limit on concurrent ones."""

    def __init__(self, dsn: str, settings: ServiceSettings) -> None:
        self._dsn, self._settings = dsn, settings
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)

    async def run(self, query: QueryRequest) -> QueryResponse:
        """Run a query and return its rows.

        Raises:
            InvalidRequestError: PostgreSQL refused the query, or a parameter does not occur in it.
            TimeLimitExceededError: The query exceeded the time limit.
            TooLargeError: The result exceeds the size limit.
            UnavailableError: Other queries occupy every slot.
        """
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._semaphore.acquire()
        except TimeoutError:
            raise UnavailableError(
                "Other analysts' queries are still running: try again.", retry_after_seconds=RETRY_SECONDS
            ) from None
        try:
            async with asyncio.timeout(self._settings.query_seconds + GRACE_SECONDS):
                return await self._run(query)
        except (TimeoutError, psycopg.errors.QueryCanceled):
            raise TimeLimitExceededError(
                f"The query took longer than {self._settings.query_seconds} seconds."
            ) from None
        except psycopg.Error as error:
            if _is_connection_failure(error):
                raise
            raise InvalidRequestError(f"PostgreSQL refused the query: {_error_message(error)}") from None
        finally:
            self._semaphore.release()

    async def _run(self, query: QueryRequest) -> QueryResponse:
        started = asyncio.get_running_loop().time()
        max_rows = min(query.limit, self._settings.query_rows)
        sql, values = bind_parameters(query.sql, query.parameters)
        statement = self._statement(sql, max_rows, explain=query.explain)
        rows: list[list[Any]] = []
        size = 0
        truncated = False
        async with await self._connect() as connection, psycopg.AsyncRawCursor(connection) as cursor:
            async for row in cursor.stream(statement, values):
                if len(rows) == max_rows and not query.explain:
                    truncated = True
                    break
                size += sum(map(value_size, row))
                if size > self._settings.query_bytes:
                    raise TooLargeError(f"The result is larger than {self._settings.query_bytes:,} bytes: select less.")
                rows.append([json_value(value) for value in row])
            columns = [column.name for column in cursor.description or []]
        milliseconds = round((asyncio.get_running_loop().time() - started) * 1000, 1)
        return QueryResponse(columns, rows, len(rows), truncated, milliseconds)

    def _statement(self, sql: str, max_rows: int, *, explain: bool) -> str:
        body = sql.strip().rstrip(";").rstrip()
        if explain:
            return f"explain (verbose) {body}"
        # A line break before the parenthesis: the text may end in a comment.
        return (
            f"select q.* from (\n{body}\n) as q"
            f" where analytics.fits(octet_length(cast(q as text)), {self._settings.query_bytes})"
            f" limit {max_rows + 1}"
        )

    async def _connect(self) -> AsyncConnection:
        connection = await AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=3,
            application_name="logitrack-analyst",
            options=(
                f"-c statement_timeout={self._settings.query_seconds}s -c default_transaction_read_only=on"
                f" -c work_mem={WORK_MEMORY} -c max_parallel_workers_per_gather=0 -c search_path=analytics"
                f" -c idle_in_transaction_session_timeout=10s -c lock_timeout=2s"
            ),
        )
        register_loaders(connection)
        return connection


def bind_parameters(sql: str, parameters: dict[str, Value] | list[Value] | None) -> tuple[str, list[Value]]:
    """Return the text with PostgreSQL's `$n` for each named placeholder, and the values in that order.

    Args:
        sql: Text of the query.
        parameters: Values by name, or a list for a text that already has `$1`, `$2`, ….

    Raises:
        InvalidRequestError: A named parameter does not occur in the text.
    """
    if not isinstance(parameters, dict):
        return sql, parameters or []
    numbers = {name: number for number, name in enumerate(parameters, start=1)}
    used: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        name = match["plain"] or match["named"]
        if name not in numbers:
            return match[0]
        used.add(name)
        return f"${numbers[name]}"

    numbered = _PLACEHOLDER.sub(replace, sql)
    if unused := [name for name in parameters if name not in used]:
        raise InvalidRequestError(f"These parameters do not occur in the query: {', '.join(unused)}.")
    return numbered, list(parameters.values())


def _is_connection_failure(error: psycopg.Error) -> bool:
    """Return whether the connection failed or the server is shutting down, as opposed to a refused query."""
    if isinstance(error, psycopg.errors.ProtocolViolation):
        return False  # class 08, but its cause is the query: a `$n` without a value
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate.startswith(("08", "57"))
    )


def _error_message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).splitlines()[0]
