"""One analyst's query in a PostgreSQL session of its own.

1. The analyst's text is parsed alone with the extended protocol, which accepts one statement and executes nothing.
2. The text becomes a sub-query of a statement that renders, counts and measures its rows. The grammar accepts only a
   SELECT there, and a text that parses alone has balanced parentheses, so it cannot leave the sub-query.
3. `analytics.run_prepared` runs the prepared statement, or explains it, and limits bytes and error messages.

The values of parameters are bound by PostgreSQL; they are never part of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus

from logitrack_service.analytics.result_format import ResultColumn, lines_statement, plan_line
from logitrack_service.analytics.schemas import ReportFormat
from logitrack_service.errors import InvalidRequestError, TooLargeError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# The names that `analytics.run_prepared` executes.
TEXT_STATEMENT, LINES_STATEMENT = "analyst_text", "analyst_lines"
APPLICATION_NAME = "logitrack-analyst"
TOO_LARGE_SQLSTATE = "LTBIG"  # raised by `analytics.run_prepared`


@dataclass(frozen=True)
class BoundValues:
    """Values of parameters as PostgreSQL's text format, with the OIDs of their types; 0 leaves a type to PostgreSQL."""

    texts: list[str | None]
    type_oids: tuple[int, ...]


@dataclass(frozen=True)
class FormattedResult:
    """Rows of a query, rendered by PostgreSQL.

    Attributes:
        columns: Names of the columns, in order; names may repeat.
        lines: Rows as JSON arrays separated by commas, or as records of CSV separated by line breaks.
        row_count: Number of rows in `lines`.
        truncated: Whether the query has more rows.
    """

    columns: list[str]
    lines: str
    row_count: int
    truncated: bool


class AnalystSession:
    """A connection with the analysts' login, for one query."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str, role_settings: Mapping[str, str]) -> AnalystSession:
        """Open a session.

        Args:
            dsn: Address with the analysts' login.
            role_settings: Settings of the session. The role has them too, unless an administrator created it.
        """
        connection = await AsyncConnection.connect(
            dsn,
            autocommit=True,
            connect_timeout=3,
            prepare_threshold=None,
            application_name=APPLICATION_NAME,
            options=" ".join(f"-c {name}={value}" for name, value in role_settings.items()),
        )
        return cls(connection)

    @property
    def backend_pid(self) -> int:
        """Return the process id of the session's backend."""
        return self._connection.pgconn.backend_pid

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def run(
        self,
        sql: str,
        values: Sequence[Any],
        result_format: ReportFormat,
        *,
        explain: bool,
        max_rows: int,
        max_bytes: int,
    ) -> FormattedResult:
        """Run a query, or explain it, and return its rows.

        Raises:
            InvalidRequestError: The text is not one query, or a value is missing.
            TooLargeError: The result exceeds `max_bytes`.
            psycopg.Error: PostgreSQL refused the query, or the connection failed.
        """
        bound = self._bind(values)
        columns, type_oids = await self._prepare_text(sql, bound)
        lines_sql = lines_statement(sql, columns, result_format, max_rows=max_rows + 1, max_bytes=max_bytes)
        await self._prepare(LINES_STATEMENT, lines_sql, type_oids)
        try:
            count, lines = await self._fetch_lines(bound, result_format, explain, max_rows, max_bytes)
        except psycopg.Error as error:
            if error.sqlstate == TOO_LARGE_SQLSTATE:
                raise TooLargeError(f"The result is larger than {max_bytes:,} bytes: select less.") from None
            raise
        names = ["QUERY PLAN"] if explain else [column.name for column in columns]
        return FormattedResult(names, lines, min(count, max_rows), count > max_rows)

    def _bind(self, values: Sequence[Any]) -> BoundValues:
        if not values:
            return BoundValues([], ())
        transformer = Transformer(self._connection)
        dumped = transformer.dump_sequence(values, [PyFormat.TEXT] * len(values))
        texts = [None if value is None else bytes(value).decode() for value in dumped]
        return BoundValues(texts, tuple(transformer.types or ()))

    async def _prepare_text(self, sql: str, bound: BoundValues) -> tuple[list[ResultColumn], tuple[int, ...]]:
        """Parse the analyst's text alone; return its columns and the types of its parameters."""
        await self._prepare(TEXT_STATEMENT, sql, bound.type_oids)
        self._connection.pgconn.send_describe_prepared(TEXT_STATEMENT.encode())
        described = await self._result()
        if described.nparams != len(bound.texts):
            raise InvalidRequestError(
                f"The query has {described.nparams} parameters, but {len(bound.texts)} values were given."
            )
        if described.nfields == 0:
            raise InvalidRequestError("Only a query that returns columns can run here: send one SELECT.")
        columns = [
            ResultColumn((described.fname(index) or b"").decode(), described.ftype(index))
            for index in range(described.nfields)
        ]
        return columns, tuple(described.param_type(index) for index in range(described.nparams))

    async def _prepare(self, name: str, sql: str, type_oids: Sequence[int]) -> None:
        self._connection.pgconn.send_prepare(name.encode(), sql.encode(), type_oids or None)
        await self._result()

    async def _result(self) -> PGresult:
        """Return the result of the command that was sent.

        Raises:
            psycopg.Error: The command failed.
        """
        pgconn = self._connection.pgconn
        results: list[PGresult] = await self._connection.wait(generators.execute(pgconn))
        result = results[-1]
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        return result

    async def _fetch_lines(
        self, bound: BoundValues, result_format: ReportFormat, explain: bool, max_rows: int, max_bytes: int
    ) -> tuple[int, str]:
        """Return the number of rows, at most `max_rows` + 1, and the first `max_rows` of them as one text."""
        line = plan_line(result_format) if explain else "line"
        separator = "," if result_format == "json" else "\n"
        statement = (
            f"select count(*), coalesce(string_agg({line}, $1) filter (where place <= $2), '')"
            " from analytics.run_prepared($3::text[], $4, $5) with ordinality as lines (line, place)"
        )
        async with psycopg.AsyncRawCursor(self._connection) as cursor:
            await cursor.execute(statement, [separator, max_rows, bound.texts, explain, max_bytes])
            row = await cursor.fetchone()
        assert row is not None  # an aggregate without groups has one row
        return row[0], row[1]
