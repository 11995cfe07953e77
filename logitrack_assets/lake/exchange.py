"""Exchange of two folders: by one atomic system call where the operating system has it, else by renames."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

from logitrack_assets.files import fsync_path

REPLACED = ".replaced"
"""Suffix of the previous version between two of the renames; `restore_replaced` removes it."""
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def swap_folders(staged: Path, final: Path) -> None:
    """Move `staged` to `final`; an existing `final` ends up at `staged`."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        staged.rename(final)
    elif not _exchange(staged, final):
        # macOS and some network file systems have no exchange. After a kill between these renames the previous
        # version has the suffix, and `restore_replaced` repairs that.
        aside = final.with_name(final.name + REPLACED)
        final.rename(aside)
        staged.rename(final)
        aside.rename(staged)
    fsync_path(final.parent)


def restore_replaced(root: Path) -> list[str]:
    """Repair swaps below `root` that were interrupted between renames.

    Returns:
        Names of the folders whose previous version was restored.
    """
    restored = []
    for aside in sorted(root.glob(f"*/**/*{REPLACED}")):
        final = aside.with_name(aside.name.removesuffix(REPLACED))
        if final.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(final)
            restored.append(final.name)
    return restored


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically (Linux renameat2(2)); return False where that is not supported."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(error, os.strerror(error), str(one), None, str(other))
