"""Loads months into PostgreSQL: in bulk, and a month at a time in one transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from logitrack_assets.errors import LogitrackError

SCHEMA = "warehouse"
NULL = r"\N"


class WarehouseError(LogitrackError):
    """PostgreSQL did not take a month; it still has the version before. The message says what and why."""


@dataclass(frozen=True)
class Warehouse:
    """The warehouse tables behind an address such as `postgresql+psycopg://user@host/database`."""

    url: str

    def connect(self) -> psycopg.Connection:
        """Opens a connection. Raises WarehouseError when PostgreSQL does not answer."""
        try:
            return psycopg.connect(self.url.replace("+psycopg", "", 1), connect_timeout=10)
        except psycopg.Error as error:
            raise WarehouseError(f"PostgreSQL does not answer: {' '.join(str(error).split())}") from None

    def replace_month(self, month: str, tables: Mapping[str, pa.Table]) -> None:
        """Replaces a month in each of the tables, all in one transaction: readers see all of it or none.

        `tables` maps a table's name to its new rows, whose columns are named as the table's. Lists become
        PostgreSQL arrays. Raises WarehouseError; then every table is as it was before.
        """
        name = ""
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                # Two loads of one month (a retry beside a stuck run) wait for one another.
                cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", [f"warehouse {month}"])
                for name, rows in tables.items():
                    table = sql.Identifier(SCHEMA, name)
                    cursor.execute(sql.SQL("delete from {} where month = %s").format(table), [month])
                    columns = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
                    with cursor.copy(sql.SQL("copy {} ({}) from stdin").format(table, columns)) as copy:
                        for block in _copy_text(rows):
                            copy.write(block)
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise WarehouseError(
                f"PostgreSQL did not take {SCHEMA}.{name} of {month} ({reason}); it keeps what it had."
            ) from error


def _copy_text(rows: pa.Table) -> Iterator[bytes]:
    """The rows in COPY's text format: a line each, tabs between, nulls as `\\N`."""
    columns = [_texts(column) for column in rows.columns]
    for batch in pa.table(columns, names=rows.column_names).to_batches(max_chunksize=100_000):
        lines = pc.binary_join_element_wise(*batch.columns, "\t", null_handling="replace", null_replacement=NULL)
        yield "\n".join([*lines.to_pylist(), ""]).encode()


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(column.type):
        return _array_literals(column)
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    for raw, escaped in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        column = pc.replace_substring(column, raw, escaped)
    return column


def _array_literals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of numbers as PostgreSQL writes arrays: {1,2,3}."""
    texts = [
        pc.binary_join(pa.ListArray.from_arrays(chunk.offsets, pc.cast(chunk.values, pa.string())), ",")
        for chunk in column.chunks
    ]
    return pc.binary_join_element_wise("{", pa.chunked_array(texts, pa.string()), "}", "")
