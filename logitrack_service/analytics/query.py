"""Analysts' own SQL queries.

PostgreSQL itself refuses whatever is not allowed: the analyst role can only read the views in `analytics`, and the
limits of rows, bytes, time and temporary files are PostgreSQL's. Each query has its own session (`analyst_session`), so
no state outlives it. This module parses requests and limits how many run at a time.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import msgspec
import psycopg
import structlog
from sqlalchemy import column, func, select, table, true
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database import psycopg_dsn
from logitrack_service.analytics.analyst_role import AnalystLogin, session_settings
from logitrack_service.analytics.analyst_session import APPLICATION_NAME, AnalystSession, FormattedResult
from logitrack_service.analytics.schemas import ReportFormat
from logitrack_service.errors import (
    InvalidRequestError,
    TimeLimitExceededError,
    UnavailableError,
)
from logitrack_service.settings import ServiceSettings

MAX_CONCURRENT_QUERIES = 4  # per worker
QUEUE_SECONDS = 2.0  # a query waits this long for one of the above
GRACE_SECONDS = 3.0  # for PostgreSQL to enforce the statement's limit before this process does
RETRY_SECONDS = 5
MAX_PARAMETERS = 1_000
OBSERVATION_SECONDS = 0.1  # between two looks at a backend that computes on

_backends = table("pg_stat_activity", column("pid"), column("application_name"), schema="pg_catalog")

log = structlog.get_logger("logitrack.analytics")

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


class AnalystQueries:
    """Runs analysts' queries, with a limit on concurrent ones.

    PostgreSQL looks at cancellations between operations only, so a backend can compute on after its query's time limit.
    A query therefore occupies its slot until its backend has ended, which may be later than the response.
    """

    def __init__(self, login: AnalystLogin, engine: AsyncEngine, settings: ServiceSettings) -> None:
        """Create the runner without connecting.

        Args:
            login: Login of the analysts' sessions.
            engine: Connections of the service, which terminate and observe the analysts' backends.
            settings: Limits.
        """
        self._dsn = psycopg_dsn(login.url)
        self._engine, self._settings = engine, settings
        self._role_settings = session_settings(settings)
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)
        self._slots: set[asyncio.Task[None]] = set()  # tasks that release a slot

    async def run(self, query: QueryRequest, result_format: ReportFormat) -> FormattedResult:
        """Run a query and return its rows.

        Raises:
            InvalidRequestError: PostgreSQL refused the query, or its parameters do not match.
            TimeLimitExceededError: The query exceeded the time limit.
            TooLargeError: The result exceeds the size limit.
            UnavailableError: Other queries occupy every slot.
        """
        if "\x00" in query.sql:
            raise InvalidRequestError("The query contains a NUL character.")
        sql, values = bind_parameters(query.sql, query.parameters)
        await self._acquire_slot()
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        execution = asyncio.create_task(self._execute(query, sql, values, result_format, pid))
        execution.add_done_callback(_retrieve_exception)
        slot = asyncio.create_task(self._release_slot(execution, pid))
        self._slots.add(slot)
        slot.add_done_callback(self._slots.discard)
        try:
            async with asyncio.timeout(self._settings.query_seconds + GRACE_SECONDS):
                return await asyncio.shield(execution)
        except (TimeoutError, psycopg.errors.QueryCanceled):
            raise TimeLimitExceededError(
                f"The query took longer than {self._settings.query_seconds} seconds."
            ) from None
        except psycopg.Error as error:
            if _is_connection_failure(error):
                raise
            raise InvalidRequestError(f"PostgreSQL refused the query: {_error_message(error)}") from None
        finally:
            execution.cancel()

    async def stop(self) -> None:
        """Cancel the queries that still run."""
        for slot in tuple(self._slots):
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    async def _acquire_slot(self) -> None:
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._semaphore.acquire()
        except TimeoutError:
            raise UnavailableError(
                "Other analysts' queries are still running: try again.", retry_after_seconds=RETRY_SECONDS
            ) from None

    async def _execute(
        self, query: QueryRequest, sql: str, values: list[Value], result_format: ReportFormat, pid: asyncio.Future[int]
    ) -> FormattedResult:
        """Run a query in a session of its own, and set `pid` to the process id of the session's backend."""
        session = await AnalystSession.connect(self._dsn, self._role_settings)
        pid.set_result(session.backend_pid)
        try:
            return await session.run(
                sql.strip().rstrip(";").rstrip(),
                values,
                result_format,
                explain=query.explain,
                max_rows=min(query.limit, self._settings.query_rows),
                max_bytes=self._settings.query_bytes,
            )
        finally:
            await session.close()

    async def _release_slot(self, execution: asyncio.Task[FormattedResult], pid: asyncio.Future[int]) -> None:
        """Release the slot of a query when its backend has ended; terminate the backend of an overdue query."""
        try:
            seconds = self._settings.query_seconds + GRACE_SECONDS
            await asyncio.wait({execution}, timeout=seconds)
            if pid.done():
                await self._wait_until_gone(pid.result(), terminate=not execution.done())
        finally:
            execution.cancel()
            self._semaphore.release()

    async def _wait_until_gone(self, pid: int, *, terminate: bool) -> None:
        """Block until the backend with this process id has ended."""
        while True:
            try:
                if await self._is_gone(pid, terminate=terminate):
                    return
            except ProgrammingError as error:  # the service's login may not terminate it; its client is gone anyway
                log.warning("analyst_backend_not_terminated", pid=pid, error=str(error.orig).splitlines()[0])
                terminate = False
            except SQLAlchemyError as error:
                log.warning("analyst_backend_not_observed", pid=pid, error=str(error).splitlines()[0])
            await asyncio.sleep(OBSERVATION_SECONDS)

    async def _is_gone(self, pid: int, *, terminate: bool) -> bool:
        """Return whether the backend has ended; if not, request its end."""
        signal = func.pg_terminate_backend(_backends.c.pid) if terminate else true()
        backend = select(signal).where(_backends.c.pid == pid, _backends.c.application_name == APPLICATION_NAME)
        async with self._engine.connect() as connection:
            return (await connection.execute(backend)).first() is None


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


def _retrieve_exception(execution: asyncio.Task[FormattedResult]) -> None:
    """Mark the exception of a task as retrieved: asyncio logs it otherwise if it follows the response."""
    if not execution.cancelled():
        execution.exception()


def _is_connection_failure(error: psycopg.Error) -> bool:
    """Return whether the connection failed or the server is shutting down, as opposed to a refused query."""
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate.startswith(("08", "57"))
    )


def _error_message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).splitlines()[0]
