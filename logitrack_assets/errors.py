"""The base class of errors that people are meant to read."""

from __future__ import annotations


class LogitrackError(Exception):
    """A known problem: what happened and, where there is one, what to do about it.

    Attributes:
        message: what happened and where, one sentence.
        hint: one thing to do, or None.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message
