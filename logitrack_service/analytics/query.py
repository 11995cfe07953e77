"""An analyst's own question in SQL.

PostgreSQL itself refuses whatever is not allowed: the role can only read the views in `analytics`. The text becomes a
sub-query of ours, sent with the extended protocol, which takes one statement: it cannot be anything but a query, and a
row that is too large fails in PostgreSQL before it can fill this process. Each query has a connection of its own, so
nothing that it does to its session outlives it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from logitrack_service.http.problems import problem
from logitrack_service.settings import ServiceSettings

MAX_CONCURRENT_QUERIES = 4  # per worker
WORK_MEMORY, TEMPORARY_DISK = "32MB", "256MB"

# psycopg's placeholders (`%s`, `%(name)s`) and plain names (`:name`) mean the same; strings, quoted names, comments and
# casts are left alone. This finds placeholders and keeps nobody out.
_PLACEHOLDER = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (?P<tag>\$\w*\$).*?(?P=tag) | ::
        | :(?P<plain>[A-Za-z_]\w*) | %\((?P<named>[A-Za-z_]\w*)\)s""",
    re.VERBOSE | re.DOTALL,
)

Value = str | int | float | bool | None | list[str | int | float]


class QueryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One SELECT over the views in `analytics`, with its values bound: `$1` for a list, `:name` for an object."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    parameters: dict[str, Value] | list[Value] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    explain: bool = False


class QueryResponse(msgspec.Struct):
    """Columns and rows; `truncated` says that there were more."""

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: float


class AnalystQueries:
    """Runs analysts' queries, a few at a time."""

    def __init__(self, dsn: str, settings: ServiceSettings) -> None:
        self._dsn, self._settings = dsn, settings
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)

    async def run(self, query: QueryRequest) -> QueryResponse:
        """The answer of PostgreSQL.

        Raises:
            HTTPException: 400 for what PostgreSQL refuses or does not understand, 408 for a query that takes too long,
                413 for an answer that is too large, 503 when the service is busy with others.
        """
        try:
            async with asyncio.timeout(2):
                await self._semaphore.acquire()
        except TimeoutError:
            raise problem(
                503, "Other analysts' queries are still running: try again.", headers={"Retry-After": "5"}
            ) from None
        try:
            async with asyncio.timeout(self._settings.query_seconds + 3):
                return await self._run(query)
        except (TimeoutError, psycopg.errors.QueryCanceled):
            raise problem(408, f"The query took longer than {self._settings.query_seconds} seconds.") from None
        except psycopg.OperationalError as error:
            if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
                raise
            raise problem(400, f"PostgreSQL refused the query: {_error_message(error)}") from None
        except psycopg.Error as error:
            raise problem(400, f"PostgreSQL refused the query: {_error_message(error)}") from None
        finally:
            self._semaphore.release()

    async def _run(self, query: QueryRequest) -> QueryResponse:
        began = asyncio.get_running_loop().time()
        most = min(query.limit, self._settings.query_rows)
        sql, values = _bound(query)
        body = sql.strip().rstrip(";").rstrip()
        if query.explain:
            statement = f"explain (verbose) {body}"
        else:
            # A newline before the parenthesis: the text may end in a comment.
            statement = (
                f"select q.* from (\n{body}\n) as q"
                f" where analytics.fits(octet_length(cast(q as text)), {self._settings.query_bytes})"
                f" limit {most + 1}"
            )
        rows: list[list[Any]] = []
        size = 0
        async with await self._connect() as connection, psycopg.AsyncRawCursor(connection) as cursor:
            cursor.row_factory = tuple_row  # type: ignore[assignment]
            async for row in cursor.stream(statement, values):
                if len(rows) == most and not query.explain:
                    return _answer(cursor, rows, True, began)
                size += sum(len(str(value)) for value in row)
                if size > self._settings.query_bytes:
                    raise problem(413, f"The answer is larger than {self._settings.query_bytes:,} bytes: ask for less.")
                rows.append([_plain(value) for value in row])
            return _answer(cursor, rows, False, began)

    async def _connect(self) -> AsyncConnection:
        return await AsyncConnection.connect(
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


def _bound(query: QueryRequest) -> tuple[str, list[Value]]:
    """The text with `$n` for every value, and the values."""
    if not isinstance(query.parameters, dict):
        return query.sql, query.parameters or []
    names = list(query.parameters)

    def place(found: re.Match[str]) -> str:
        name = found["plain"] or found["named"]
        return f"${names.index(name) + 1}" if name in names else found[0]

    sql = _PLACEHOLDER.sub(place, query.sql)
    used = [name for name in names if f"${names.index(name) + 1}" in sql]
    if used != names:
        unused = ", ".join(name for name in names if name not in used)
        raise problem(400, f"These parameters do not occur in the query: {unused}.")
    return sql, list(query.parameters.values())


def _answer(cursor: psycopg.AsyncCursor[Any], rows: list[list[Any]], truncated: bool, began: float) -> QueryResponse:
    columns = [column.name for column in cursor.description or []]
    milliseconds = round((asyncio.get_running_loop().time() - began) * 1000, 1)
    return QueryResponse(columns, rows, len(rows), truncated, milliseconds)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, (bool, int, str, list, dict)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return str(value)


def _error_message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).splitlines()[0]
