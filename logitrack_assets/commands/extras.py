"""Check that the optional dependencies of a command are installed."""

from __future__ import annotations

from importlib.util import find_spec

from logitrack_assets.errors import LogitrackError

_TELLTALES = {"assets": "dagster", "core": "onnxruntime", "service": "litestar"}
"""A module that only the extra installs, for each extra that a command can need."""


class MissingExtraError(LogitrackError):
    """A command needs dependencies that this installation does not have."""


def require_extras(*extras: str) -> None:
    """Raise unless the extras are installed.

    Raises:
        MissingExtraError: One or more of them are missing; the hint has the command that installs them.
    """
    missing = [extra for extra in extras if find_spec(_TELLTALES[extra]) is None]
    if missing:
        raise MissingExtraError(
            "This command needs packages that are not installed.",
            hint=f"Run pip install 'logitrack[{','.join(missing)}]'.",
        )
