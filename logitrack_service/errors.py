"""Domain errors of the service.

Domain code (auth, predictions, analytics) raises these classes and is independent of HTTP. `http.problems` maps each
class to a status code and renders it as a problem document.
"""

from __future__ import annotations

import msgspec

from logitrack_assets.errors import LogitrackError

INVALID_VALUES = "Some values are not valid."


class FieldError(msgspec.Struct, gc=False):
    """One invalid field of a request.

    Attributes:
        field: path of the field, for example `outcomes[3].prediction_id`.
        message: what is wrong with the value, one sentence.
    """

    field: str
    message: str


class ServiceError(LogitrackError):
    """Base class of the errors that clients receive as a problem document."""


class InvalidRequestError(ServiceError):
    """The request is malformed or cannot be executed as sent."""


class AuthenticationError(ServiceError):
    """The request carries no valid credentials.

    Attributes:
        challenge: value of the `WWW-Authenticate` response header (RFC 6750, section 3).
    """

    def __init__(self, message: str, *, challenge: str = 'Bearer error="invalid_token"') -> None:
        super().__init__(message)
        self.challenge = challenge


class PermissionDeniedError(ServiceError):
    """The caller is authenticated but not allowed to do this."""


class NotFoundError(ServiceError):
    """The requested resource does not exist."""


class TimeLimitExceededError(ServiceError):
    """The operation exceeded its time limit."""


class ConflictError(ServiceError):
    """The request contradicts the stored state."""


class TooLargeError(ServiceError):
    """The request or its result exceeds a size limit."""


class InvalidFieldsError(ServiceError):
    """One or more values are not valid.

    Attributes:
        errors: one entry for each invalid field; may be empty when no single field is at fault.
    """

    def __init__(self, errors: list[FieldError], message: str = INVALID_VALUES) -> None:
        super().__init__(message)
        self.errors = errors


class RateLimitedError(ServiceError):
    """The caller sent too many attempts.

    Attributes:
        retry_after_seconds: value of the `Retry-After` response header.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(ServiceError):
    """A dependency of the service is not available at the moment.

    Attributes:
        retry_after_seconds: value of the `Retry-After` response header.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
