"""Errors in one shape: problem documents (RFC 9457), whatever went wrong and wherever."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

PROBLEM_JSON = "application/problem+json"

log = structlog.get_logger("logitrack.service")


class FieldProblem(msgspec.Struct):
    """One wrong field."""

    field: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A problem document (RFC 9457)."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldProblem] | None = None


def problem(
    status: int, detail: str, *, errors: list[FieldProblem] | None = None, headers: dict[str, str] | None = None
) -> HTTPException:
    """An error to raise: what happened, as a sentence for the client."""
    return HTTPException(
        detail=detail, status_code=status, headers=headers, extra={"errors": errors} if errors else None
    )


def database_unavailable() -> HTTPException:
    """What is answered while PostgreSQL does not."""
    return problem(503, "The database does not answer at the moment: try again shortly.", headers={"Retry-After": "2"})


def is_outage(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL is not there, rather than that a statement was wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, (PoolTimeout, ConnectionError, TimeoutError, InterfaceError)):
        return True
    cause = error.orig if isinstance(error, OperationalError) else error
    return isinstance(cause, psycopg.OperationalError) and not isinstance(
        cause, (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientResources)
    )


def as_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception as a problem document: the one place where errors become answers."""
    if not isinstance(error, HTTPException):
        if isinstance(error, SerializationException):
            error = problem(400, "The body is not what its content type says.")
        elif isinstance(error, (DataError, UnicodeEncodeError)):
            error = problem(422, "Some value is nothing that the database could know.")
        elif isinstance(getattr(error, "orig", None), psycopg.errors.QueryCanceled):
            log.warning("statement_took_too_long", path=request.url.path)
            error = problem(503, "The database took too long over this: ask for less.", headers={"Retry-After": "5"})
        elif is_outage(error):
            log.warning("database_unavailable", error=type(error).__name__)
            error = database_unavailable()
        else:
            log.error("unhandled_error", path=request.url.path, exc_info=error)
            error = problem(500, "Something went wrong on our side; it has been logged with this request's id.")
    return _response(request, error)


def _response(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status, detail, headers = error.status_code, error.detail, dict(error.headers or {})
    errors = error.extra.get("errors") if isinstance(error.extra, dict) else None
    if isinstance(error, ValidationException):  # Litestar's own, about parameters
        status, detail = 422, "Some values are not valid."
        rows = error.extra if isinstance(error.extra, list) else []
        errors = [FieldProblem(str(row.get("key", "")), str(row.get("message", ""))) for row in rows]
        if any(wrong.field == "data" for wrong in errors):
            detail, errors = "The body is missing.", None
    elif isinstance(error, MethodNotAllowedException):
        detail = f"{request.method} is not possible here."
    elif isinstance(error, NotFoundException):
        detail = "There is nothing here." if detail == HTTPStatus(404).phrase else detail
    elif status == 400 and detail.startswith("Failed to"):
        detail = "The request cannot be read."
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request.scope.get("state", {}).get("request_id"),
        errors=errors,
    )
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=PROBLEM_JSON)
