"""SQL expressions that render a query's rows as lines of JSON or CSV.

PostgreSQL renders the rows, so its size limits apply to the bytes that the client receives, and this process holds them
as one text instead of Python objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.postgres import types as postgres_types

from logitrack_service.analytics.schemas import ReportFormat

MAX_EXACT_INTEGER = 2**53 - 1  # the largest integer that every JSON reader represents exactly (RFC 8259, 6)

_PLAIN = {"int2", "int4", "bool"}
_FLOATS = {"float4", "float8"}
_EXACT = {"int8", "numeric"}
_DOCUMENTS = {"json", "jsonb"}
_LONG_NUMBER = r"\d{16}"


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result.

    Attributes:
        name: Name in the result; several columns may have the same one.
        type_oid: OID of the column's type.
    """

    name: str
    type_oid: int


def lines_statement(
    sql: str, columns: Sequence[ResultColumn], result_format: ReportFormat, *, max_rows: int, max_bytes: int
) -> str:
    """Return a statement with one text column that renders each row of `sql` as one line.

    `sql` must have been parsed alone before: only then is the parenthesis after it ours.

    Args:
        sql: One SELECT.
        columns: Columns of `sql`.
        result_format: Format of a line: the elements of a JSON array, or a record of CSV.
        max_rows: Rows after which the statement ends.
        max_bytes: Size of a line in bytes, above which the statement fails.
    """
    names = [f"c{number}" for number in range(len(columns))]
    if result_format == "json":
        fields = [_json_field(name, column.type_oid) for name, column in zip(names, columns, strict=True)]
        line = f"'[' || array_to_string(array[{', '.join(fields)}]::text[], ',', 'null') || ']'"
    else:
        null = "''" if len(columns) > 1 else "'\"\"'"  # an empty line is no record
        fields = [f"analytics.csv_field({name}::text)" for name in names]
        line = f"array_to_string(array[{', '.join(fields)}]::text[], ',', {null})"
    # Line breaks around the text: it may end in a comment.
    return (
        f"select line from (select {line} as line from (\n{sql}\n) as q ({', '.join(names)}) limit {max_rows}) as l"
        f" where analytics.fits(octet_length(line), {max_bytes})"
    )


def plan_line(result_format: ReportFormat) -> str:
    """Return the expression that renders `line`, a line of a query plan."""
    return "json_build_array(line)::text" if result_format == "json" else "analytics.csv_field(line)"


def _json_field(name: str, type_oid: int) -> str:
    """Return an expression for a value as JSON text, or null; types without a JSON equivalent become strings."""
    info = postgres_types.get(type_oid)
    if info is None:
        return f"to_json({name}::text)::text"
    if info.array_oid == type_oid:
        return _json_array(name, info.name)
    if info.name in _PLAIN:
        return f"{name}::text"
    if info.name in _FLOATS:
        return f"case when {name}::text not in ('NaN', 'Infinity', '-Infinity') then {name}::text end"
    if info.name in _EXACT:
        return (
            f"case when {name}::text in ('NaN', 'Infinity', '-Infinity') then null"
            f" when {name} between -{MAX_EXACT_INTEGER} and {MAX_EXACT_INTEGER} then {name}::text"
            f" else to_json({name}::text)::text end"
        )
    if info.name in _DOCUMENTS:
        return f"case when {name}::text ~ '{_LONG_NUMBER}' then to_json({name}::text)::text else {name}::text end"
    return f"to_json({name}::text)::text"


def _json_array(name: str, element: str) -> str:
    if element in _FLOATS:
        return f"regexp_replace(to_json({name})::text, '\"(NaN|-?Infinity)\"', 'null', 'g')"
    if element in _EXACT:
        return (
            f"case when {name}::text ~ '{_LONG_NUMBER}' then to_json({name}::text[])::text"
            f" else regexp_replace(to_json({name})::text, '\"(NaN|-?Infinity)\"', 'null', 'g') end"
        )
    return f"to_json({name})::text" if element in _PLAIN else f"to_json({name}::text[])::text"
