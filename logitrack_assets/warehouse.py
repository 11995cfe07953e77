"""Bulk loading of months into PostgreSQL, one transaction per month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from logitrack_assets.errors import LogitrackError

SCHEMA = "warehouse"
NULL = r"\N"
CONNECT_TIMEOUT_SECONDS = 10
COPY_BLOCK_ROWS = 100_000


class WarehouseError(LogitrackError):
    """A load into PostgreSQL failed; the previous version of the month is unchanged."""


@dataclass(frozen=True)
class Warehouse:
    """The warehouse tables of a database.

    Attributes:
        url: SQLAlchemy address such as `postgresql+psycopg://user@host/database`.
    """

    url: str

    def connect(self) -> psycopg.Connection:
        """Return a new connection.

        Raises:
            WarehouseError: PostgreSQL does not answer.
        """
        try:
            return psycopg.connect(self.url.replace("+psycopg", "", 1), connect_timeout=CONNECT_TIMEOUT_SECONDS)
        except psycopg.Error as error:
            raise WarehouseError(f"PostgreSQL does not answer: {' '.join(str(error).split())}") from None

    def replace_month(self, month: str, tables: Mapping[str, pa.Table]) -> None:
        """Replace a month in several tables in one transaction: readers see all new rows or none.

        Args:
            month: `YYYY-MM`.
            tables: New rows by table name; the columns are named as in the table, lists become arrays.

        Raises:
            WarehouseError: The load failed; every table is unchanged.
        """
        name = ""
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                # Serialises two loads of one month, for example a retry beside a run that hangs.
                cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", [f"warehouse {month}"])
                for name, rows in tables.items():
                    table = sql.Identifier(SCHEMA, name)
                    cursor.execute(sql.SQL("delete from {} where month = %s").format(table), [month])
                    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
                    with cursor.copy(sql.SQL("copy {} ({}) from stdin").format(table, columns)) as copy:
                        for block in _copy_blocks(rows):
                            copy.write(block)
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise WarehouseError(
                f"Loading {SCHEMA}.{name} of {month} into PostgreSQL failed ({reason}); its rows are unchanged."
            ) from error


def _copy_blocks(rows: pa.Table) -> Iterator[bytes]:
    r"""Yield the rows in PostgreSQL's COPY text format: one line per row, tabs between, nulls as `\N`."""
    columns = [_to_text(column) for column in rows.columns]
    for batch in pa.table(columns, names=rows.column_names).to_batches(max_chunksize=COPY_BLOCK_ROWS):
        lines = pc.binary_join_element_wise(*batch.columns, "\t", null_handling="replace", null_replacement=NULL)
        yield "\n".join([*lines.to_pylist(), ""]).encode()


def _to_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column's values as COPY text, with the characters escaped that delimit rows and columns."""
    if pa.types.is_list(column.type):
        return _array_literals(column)
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    for raw, escaped in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        column = pc.replace_substring(column, raw, escaped)
    return column


def _array_literals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists of numbers as PostgreSQL array literals such as {1,2,3}."""
    texts = [
        pc.binary_join(pa.ListArray.from_arrays(chunk.offsets, pc.cast(chunk.values, pa.string())), ",")
        for chunk in column.chunks
    ]
    return pc.binary_join_element_wise("{", pa.chunked_array(texts, pa.string()), "}", "")
