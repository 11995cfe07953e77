"""Atomic file writes, JSON documents, fsync and advisory file locks.

Imports light: the standard library only, because the service uses it too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Write a file so that readers see the previous content or all of the new one, also after a power failure.

    Args:
        path: The file; its folder must exist.
        content: Text is encoded as UTF-8.
        mode: Permission bits of the new file, reduced by the umask.
    """
    draft = _write_draft(path, content, mode)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    fsync_path(path.parent)


def create_atomic(path: Path, content: str | bytes, *, mode: int = 0o666) -> bool:
    """Create a file with its full content unless it exists; return whether this call created it.

    Of several processes that call it at the same time, exactly one creates the file.
    """
    draft = _write_draft(path, content, mode)
    try:
        os.link(draft, path)  # fails where `path` exists, which a rename does not
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    fsync_path(path.parent)
    return True


def make_private_folder(path: Path) -> None:
    """Create a folder that other users of the machine cannot read, or close an existing one of this user to them.

    As root the folder stays passable if it was: the embedded PostgreSQL, an ordinary user then, has to reach its data.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    closed = stat.S_IMODE(status.st_mode) & (~0o066 if os.geteuid() == 0 else ~0o077)
    if status.st_uid == os.geteuid() and closed != stat.S_IMODE(status.st_mode):
        path.chmod(closed)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None when the file does not exist.

    Raises:
        ValueError: The file holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object atomically, indented and with sorted keys; unknown types are written as text."""
    write_atomic(path, json.dumps(content, indent=2, sort_keys=True, default=str))


def sha256_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file's data, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and `folder` itself, to the disk."""
    for path in folder.rglob("*"):
        if path.is_file() or path.is_dir():
            fsync_path(path)
    fsync_path(folder)


class FileLock:
    """An advisory lock (flock) on a file.

    The kernel releases it when the process ends, however it ends. The file itself stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock, or convert it when this instance holds it already.

        Args:
            shared: Allow other shared holders; else exclude everyone.
            wait: Block until the lock is free; else return at once.

        Returns:
            Whether the lock is held in the requested mode. After a failed conversion the lock may be lost (flock(2)).
        """
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            opened = True
        else:
            opened = False
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._file, operation if wait else operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if opened:
                self.release()
            return False
        return True

    def release(self) -> None:
        """Release the lock; without effect when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        """Wait for the exclusive lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        self.release()


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a file for a block; wait for other holders, shared ones included."""
    with FileLock(path):
        yield


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold a shared lock on a file for a block; wait for an exclusive holder only."""
    lock = FileLock(path)
    lock.acquire(shared=True)
    try:
        yield
    finally:
        lock.release()


def try_lock(path: Path, *, shared: bool = False) -> FileLock | None:
    """Return the lock on a file, held until released or the process ends, or None when another holder excludes it."""
    lock = FileLock(path)
    return lock if lock.acquire(shared=shared, wait=False) else None


def _write_draft(path: Path, content: str | bytes, mode: int) -> Path:
    """Write the content to a new, flushed file beside `path` and return its path."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft
