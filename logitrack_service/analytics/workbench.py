"""HTTP handlers of analysts' workbench: which views there are, and saved queries."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy import delete as delete_from
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import saved_queries
from logitrack_service.auth.guards import require_analyst
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import ConflictError, FieldError, InvalidFieldsError, NotFoundError, UnavailableError
from logitrack_service.http.openapi import problem_responses

MAX_SAVED_QUERIES = 200  # of an account
MAX_NAME_CHARACTERS = 100
MAX_SAVED_BODY_BYTES = 100_000


class ViewColumn(msgspec.Struct):
    """A column of a view with its PostgreSQL type."""

    name: str
    type: str
    description: str | None


class ViewDescription(msgspec.Struct):
    """A view that analysts may query."""

    view: str
    description: str | None
    columns: list[ViewColumn]


class SavedQueryText(msgspec.Struct, forbid_unknown_fields=True):
    """The text of a query."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000, pattern=r"^[^\x00]*$")]


class SavedQuery(msgspec.Struct):
    """A query that its account has saved under a name."""

    name: str
    sql: str
    updated_at: Annotated[datetime, msgspec.Meta(tz=True)]


@get(
    "/schema",
    guards=[require_analyst],
    responses=problem_responses(UnavailableError),
    summary="Describe the views of analysts",
)
async def describe_views(engine: NamedDependency[AsyncEngine]) -> list[ViewDescription]:
    """Return every view that `/analytics/query` can read, with its columns and what they mean. Requires analyst."""
    statement = text("select view, column_name, type, about_view, about_column from analytics.documentation")
    columns: dict[str, list[ViewColumn]] = defaultdict(list)
    descriptions: dict[str, str | None] = {}
    async with engine.connect() as connection:
        for row in await connection.execute(statement):
            descriptions.setdefault(row.view, row.about_view)
            columns[row.view].append(ViewColumn(row.column_name, row.type, row.about_column))
    return [ViewDescription(view, descriptions[view], found) for view, found in columns.items()]


@get(
    "/saved-queries",
    guards=[require_analyst],
    responses=problem_responses(UnavailableError),
    summary="List saved queries",
)
async def list_saved_queries(
    request: Request[Identity, Any, Any], engine: NamedDependency[AsyncEngine]
) -> list[SavedQuery]:
    """Return the queries that the caller has saved, in the order of their names. Requires analyst."""
    columns = saved_queries.c
    statement = (
        select(columns.name, columns.sql, columns.updated_at)
        .where(columns.account_id == request.user.account_id)
        .order_by(columns.name)
    )
    async with engine.connect() as connection:
        return [SavedQuery(**row._mapping) for row in await connection.execute(statement)]


@put(
    "/saved-queries/{name:str}",
    guards=[require_analyst],
    request_max_body_size=MAX_SAVED_BODY_BYTES,
    request_example={"sql": "select hour, sum(trips) as trips from hours group by hour order by hour"},
    responses=problem_responses(ConflictError, UnavailableError),
    summary="Save a query",
)
async def save_query(
    request: Request[Identity, Any, Any],
    name: FromPath[str],
    data: JSONBody[SavedQueryText],
    engine: NamedDependency[AsyncEngine],
) -> SavedQuery:
    """Save a query under a name, in place of an earlier one of that name. The text is not run. Requires analyst."""
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or "\x00" in name:
        reason = f"A name has 1 to {MAX_NAME_CHARACTERS} characters, none of them `/`."
        raise InvalidFieldsError([FieldError("name", reason)])
    owned = saved_queries.c.account_id == request.user.account_id
    statement = insert(saved_queries).values(account_id=request.user.account_id, name=name, sql=data.sql)
    statement = statement.on_conflict_do_update(
        index_elements=[saved_queries.c.account_id, saved_queries.c.name],
        set_={"sql": statement.excluded.sql, "updated_at": func.now()},
    )
    returned = statement.returning(saved_queries.c.name, saved_queries.c.sql, saved_queries.c.updated_at)
    others = select(func.count()).where(owned, saved_queries.c.name != name)
    async with engine.begin() as connection:
        if (await connection.scalar(others) or 0) >= MAX_SAVED_QUERIES:
            raise ConflictError(f"An account saves at most {MAX_SAVED_QUERIES} queries: delete one first.")
        return SavedQuery(**(await connection.execute(returned)).one()._mapping)


@delete(
    "/saved-queries/{name:str}",
    guards=[require_analyst],
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="Delete a saved query",
)
async def delete_saved_query(
    request: Request[Identity, Any, Any], name: FromPath[str], engine: NamedDependency[AsyncEngine]
) -> None:
    """Delete one of the caller's saved queries. Requires analyst."""
    columns = saved_queries.c
    statement = delete_from(saved_queries).where(
        columns.account_id == request.user.account_id, columns.name == name.replace("\x00", "\ufffd")
    )
    async with engine.begin() as connection:
        if not (await connection.execute(statement)).rowcount:
            raise NotFoundError("There is no saved query of this name.")


route_handlers = [describe_views, list_saved_queries, save_query, delete_saved_query]
