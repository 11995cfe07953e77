"""Problem documents (RFC 9457): the one place that turns exceptions into error responses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from logitrack_service.errors import (
    INVALID_VALUES,
    AuthenticationError,
    ConflictError,
    FieldError,
    InvalidFieldsError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceError,
    TimeLimitExceededError,
    TooLargeError,
    UnavailableError,
)

PROBLEM_JSON = "application/problem+json"
SERVER_ERROR = "An internal error occurred. It is logged under this request id."

STATUS_OF_ERROR: Mapping[type[ServiceError], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    AuthenticationError: HTTPStatus.UNAUTHORIZED,
    PermissionDeniedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    TimeLimitExceededError: HTTPStatus.REQUEST_TIMEOUT,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InvalidFieldsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

DATABASE_RETRY_SECONDS = 2
SLOW_STATEMENT_RETRY_SECONDS = 5

log = structlog.get_logger("logitrack.service")


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A problem document (RFC 9457)."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str | None = None
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] | None = None


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the problem document for an exception; Litestar calls this for every exception of a handler."""
    if isinstance(error, HTTPException):
        document, headers = _from_http_exception(request, error)
    else:
        document, headers = _from_service_error(_classify(request, error))
    document.instance = request.url.path
    document.request_id = request.scope.get("state", {}).get("request_id")
    return Response(
        msgspec.json.encode(document), status_code=document.status, headers=headers, media_type=PROBLEM_JSON
    )


def status_of(error_class: type[ServiceError]) -> HTTPStatus:
    """Return the status of a domain error; a subclass has the status of its nearest listed base class."""
    for base in error_class.__mro__:
        if base in STATUS_OF_ERROR:
            return STATUS_OF_ERROR[base]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def server_error(request_id: str | None = None) -> Problem:
    """Return the problem document of an unexpected exception; it does not reveal the cause."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(title=status.phrase, status=status, detail=SERVER_ERROR, request_id=request_id)


def is_database_outage(error: BaseException) -> bool:
    """Return whether an error means that PostgreSQL is unreachable, as opposed to a failing statement."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, (PoolTimeoutError, ConnectionError, TimeoutError, InterfaceError)):
        return True
    cause = error.orig if isinstance(error, OperationalError) else error
    return isinstance(cause, psycopg.OperationalError) and not isinstance(
        cause, (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientResources)
    )


def _classify(request: Request[Any, Any, Any], error: Exception) -> ServiceError | None:
    """Return the domain error for an exception, None if it is unexpected."""
    if isinstance(error, ServiceError) and status_of(type(error)) != HTTPStatus.INTERNAL_SERVER_ERROR:
        return error
    if isinstance(error, SerializationException):
        return InvalidRequestError("The body does not match its content type.")
    if isinstance(error, (DataError, UnicodeEncodeError)):
        return InvalidFieldsError([], "A value cannot be represented in the database.")
    if isinstance(getattr(error, "orig", None), psycopg.errors.QueryCanceled):
        log.warning("statement_timeout", path=request.url.path)
        return UnavailableError(
            "The database statement exceeded its time limit: narrow the request.",
            retry_after_seconds=SLOW_STATEMENT_RETRY_SECONDS,
        )
    if is_database_outage(error):
        log.warning("database_unavailable", error=type(error).__name__)
        return UnavailableError(
            "The database does not respond at the moment: try again shortly.",
            retry_after_seconds=DATABASE_RETRY_SECONDS,
        )
    log.error("unhandled_error", path=request.url.path, exc_info=error)
    return None


def _from_service_error(error: ServiceError | None) -> tuple[Problem, dict[str, str]]:
    if error is None:
        return server_error(), {}
    status = status_of(type(error))
    document = Problem(title=status.phrase, status=status, detail=str(error))
    headers: dict[str, str] = {}
    if isinstance(error, InvalidFieldsError):
        document.errors = error.errors or None
    elif isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = error.challenge
    elif isinstance(error, (RateLimitedError, UnavailableError)):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return document, headers


def _from_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> tuple[Problem, dict[str, str]]:
    """Convert an exception of Litestar by its class; its message is replaced by one of this API."""
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # its message is for developers
        log.error("unhandled_error", path=request.url.path, exc_info=error)
        return server_error(), {}
    detail, errors = error.detail, None
    if isinstance(error, ValidationException):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        detail, errors = _describe_validation(error)
    elif isinstance(error, MethodNotAllowedException):
        detail = f"The method {request.method} is not allowed for this path."
    elif isinstance(error, NotFoundException):
        detail = "This path does not exist."
    elif isinstance(error, RequestEntityTooLarge):
        detail = "The body exceeds the size limit of this operation."
    elif isinstance(error, ClientException):
        detail = "The request cannot be read."
    document = Problem(title=status.phrase, status=status, detail=detail, errors=errors)
    return document, dict(error.headers or {})


def _describe_validation(error: ValidationException) -> tuple[str, list[FieldError] | None]:
    """Return the detail and the invalid parameters. Litestar reports a missing body as the parameter `data`."""
    rows = error.extra if isinstance(error.extra, list) else []
    if any(row.get("key") == "data" for row in rows):
        return "The body is missing.", None
    errors = [FieldError(str(row.get("key", "")), str(row.get("message", ""))) for row in rows]
    return INVALID_VALUES, errors or None
