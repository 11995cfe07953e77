"""Values in the results of analysts' queries: JSON where it has the type, PostgreSQL's own text otherwise.

psycopg converts to Python's types, which are narrower than PostgreSQL's: dates end with the year 9999, a time has no
24:00, and JSON has limits on depth and digits. A valid query would fail in this process. Its result needs no Python
values at all, so they are not made.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader

_NUMBER_TYPES = frozenset({"bool", "int2", "int4", "int8", "oid", "float4", "float8"})
_JSON_TYPES = frozenset({"json", "jsonb"})


class RawJsonLoader(Loader):
    """Loads a JSON value as its text, which becomes part of the response as it is."""

    def load(self, data: Buffer) -> msgspec.Raw:
        """Return the text of a JSON value; PostgreSQL has validated it."""
        return msgspec.Raw(bytes(data))


def register_loaders(connection: AsyncConnection) -> None:
    """Make a connection return JSON as it is, and every type that JSON does not have as PostgreSQL's text."""
    for info in connection.adapters.types:
        if info.name in _JSON_TYPES:
            connection.adapters.register_loader(info.oid, RawJsonLoader)
        elif info.name not in _NUMBER_TYPES:
            connection.adapters.register_loader(info.oid, TextLoader)


def json_value(value: Any) -> Any:
    """Return a loaded value as one that JSON can represent: NaN and infinities become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def value_size(value: Any) -> int:
    """Return the size of a loaded value: the length of its text."""
    return len(memoryview(value)) if isinstance(value, msgspec.Raw) else len(str(value))
