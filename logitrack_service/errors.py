"""Errors of the service's domains; `http.problems` maps each class to a status and a problem document.

Domain code (auth, predictions, analytics) raises these and knows nothing of HTTP.
"""

from __future__ import annotations

import msgspec

from logitrack_assets.errors import LogitrackError


class FieldError(msgspec.Struct):
    """One invalid field of a request."""

    field: str
    message: str


class ServiceError(LogitrackError):
    """Base class of what the service answers with a problem document."""


class InvalidRequestError(ServiceError):
    """The request cannot be read or carried out as it stands."""


class AuthenticationError(ServiceError):
    """The caller is not authenticated; `challenge` is the value of WWW-Authenticate (RFC 6750)."""

    def __init__(self, message: str, *, challenge: str = 'Bearer error="invalid_token"') -> None:
        super().__init__(message)
        self.challenge = challenge


class PermissionDeniedError(ServiceError):
    """The caller is known and may not do this."""


class NotFoundError(ServiceError):
    """There is no such thing."""


class TimeLimitExceededError(ServiceError):
    """The work took longer than its limit."""


class ConflictError(ServiceError):
    """The request contradicts what is stored."""


class TooLargeError(ServiceError):
    """The request or its result exceeds a size limit."""


class InvalidFieldsError(ServiceError):
    """Some values are not valid; `errors` names each field."""

    def __init__(self, errors: list[FieldError], message: str = "Some values are not valid.") -> None:
        super().__init__(message)
        self.errors = errors


class RateLimitedError(ServiceError):
    """Too many attempts; `retry_after_seconds` says how long to wait."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(ServiceError):
    """Something that is needed is not available now."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
