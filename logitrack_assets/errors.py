"""The base class of errors that a user can act on."""

from __future__ import annotations


class LogitrackError(Exception):
    """A known problem, shown to the user without a traceback.

    Attributes:
        message: What happened and where, one sentence.
        hint: One thing to do, one sentence, or None.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message followed by the hint."""
        return f"{self.message} {self.hint}" if self.hint else self.message
