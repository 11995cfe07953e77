"""Errors of the client."""

from __future__ import annotations

import httpx2
import msgspec


class InvalidField(msgspec.Struct, frozen=True):
    """A field of a request that the service refused, with the reason."""

    field: str
    message: str


class _ProblemDocument(msgspec.Struct):
    """The part of a problem document (RFC 9457) that the client reads."""

    title: str = ""
    detail: str = ""
    errors: list[InvalidField] = []
    request_id: str | None = None


class ApiError(Exception):
    """The service refused a request.

    Attributes:
        status: HTTP status.
        detail: What happened, one or two sentences.
        errors: The refused fields, if single fields are at fault.
        request_id: Id under which the service has logged the request.
        retry_after_seconds: How long the service asks to wait; None if it does not say.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[InvalidField] | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        fields = "".join(f" {error.field}: {error.message}" for error in errors or [])
        super().__init__(f"{status}: {detail}{fields}")
        self.status, self.detail, self.errors = status, detail, errors or []
        self.request_id, self.retry_after_seconds = request_id, retry_after_seconds

    @classmethod
    def from_response(cls, response: httpx2.Response) -> ApiError:
        """Return the error of a response; a body that is no problem document, as of a proxy, is left out."""
        try:
            problem = msgspec.json.decode(response.content, type=_ProblemDocument)
        except (msgspec.DecodeError, UnicodeDecodeError):
            problem = _ProblemDocument()
        retry_after = response.headers.get("retry-after", "")
        return cls(
            response.status_code,
            problem.detail or problem.title or response.reason_phrase,
            errors=problem.errors,
            request_id=problem.request_id or response.headers.get("x-request-id"),
            retry_after_seconds=float(retry_after) if retry_after.isdecimal() else None,
        )


class ApiConnectionError(Exception):
    """The service cannot be reached, or the connection broke, after all attempts."""
