"""The home folder: whether it can be used, the id of the installation in it, and disk errors in words.

Imports light: the standard library only, because the service uses it too.
"""

from __future__ import annotations

import errno
import secrets
from pathlib import Path

from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import create_atomic, make_private_folder

INSTANCE_ID = "instance_id"
_PROBE_BYTES = 4096  # a block: an empty file can be created on a full disk
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DISK_ERRORS = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EIO}


class HomeError(LogitrackError):
    """The home folder cannot be made or written."""


def require_home(home: Path) -> Path:
    """Create the home folder if it does not exist, write to it once, and return it.

    Raises:
        HomeError: It cannot be made or written, it is a file, or its disk is full.
    """
    try:
        make_private_folder(home)
        probe = home / f".probe.{secrets.token_hex(4)}"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise _home_error(home, error) from None
    return home


def load_or_create_instance_id(home: Path) -> str | None:
    """Return the random id of the installation in a home folder, or None where it has none and none can be written.

    `/health/live` states it, so that `logitrack doctor` can tell this installation's service from another's.
    """
    known = read_instance_id(home)
    if known is not None:
        return known
    try:
        make_private_folder(home)
        create_atomic(home / INSTANCE_ID, secrets.token_hex(16))
    except OSError:
        return None
    return read_instance_id(home)


def read_instance_id(home: Path) -> str | None:
    """Return the id of the installation in a home folder, or None where it has none."""
    try:
        return (home / INSTANCE_ID).read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def disk_error(error: OSError) -> LogitrackError | None:
    """Return an error of the disk as one with a hint, or None for an OSError of another kind (a socket, a process)."""
    if error.errno not in _DISK_ERRORS or error.filename is None:
        return None
    if error.errno in _FULL:
        hint = "Free some disk space."
    elif error.errno == errno.ENOTDIR:
        hint = "A part of that path is a file: move it, or name another path."
    else:
        hint = "Correct its permissions, or name another path."
    return LogitrackError(f"{error.filename} cannot be used ({error.strerror}).", hint=hint)


def _home_error(home: Path, error: OSError) -> HomeError:
    elsewhere = "set LOGITRACK_HOME to another folder"
    if error.errno in _FULL:
        return HomeError(f"The disk of the home folder {home} is full.", hint=f"Free some space, or {elsewhere}.")
    if home.exists() and not home.is_dir():
        return HomeError(f"The home folder {home} is a file.", hint=f"Move the file, or {elsewhere}.")
    if home.is_dir():
        return HomeError(
            f"The home folder {home} is not writable ({error.strerror}).",
            hint=f"Correct its permissions, or {elsewhere}.",
        )
    return HomeError(
        f"The home folder {home} cannot be made ({error.strerror}).",
        hint=f"Correct the permissions of the folder above, or {elsewhere}.",
    )
