"""Errors of a month's way from the source to the warehouse."""

from __future__ import annotations

from logitrack_assets.errors import LogitrackError


class BrokenFileError(LogitrackError):
    """A file is not a readable month of trips; the message names the file and the reason."""


class DiskFullError(LogitrackError):
    """The disk of the lake has no free space."""


class MonthError(LogitrackError):
    """A month cannot be cleaned or loaded; the previous version stays published."""


class SparkConnectionLostError(MonthError):
    """Spark's JVM ended; this process cannot use Spark any more."""
