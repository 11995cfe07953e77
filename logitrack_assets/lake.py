"""The lake: where a month lies on disk, and how a new version of it takes the old one's place.

    bronze/<fleet>/<month>/<file as published>.parquet, receipt.json
    silver/month=<month>/*.parquet, _month.json
    rejected/month=<month>/*.parquet, _month.json

A version is staged below `.staging/` on the same file system and swapped in by one rename that exchanges the two
folders, so that a reader finds the old version or the new one, whatever is killed when. Where several folders
belong together (silver and rejected), a commit file says that the new ones are complete; `recover` finishes an
interrupted exchange from it. This module knows folders and nothing about trips, Spark or Dagster.
"""

import ctypes
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "_month.json"  # Spark, Arrow and DuckDB pass over names that begin with an underscore
RECEIPT = "receipt.json"
_COMMIT = "COMMIT"
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@dataclass(frozen=True)
class Lake:
    """Paths of the lake under a home folder; nothing is created until something is published."""

    home: Path

    @property
    def root(self) -> Path:
        return self.home / "lake"

    def bronze(self, fleet: str, month: str) -> Path:
        """Folder of one fleet's file of a month, exactly as the source published it, with its receipt."""
        return self.root / "bronze" / fleet / month

    def silver(self, month: str) -> Path:
        """Folder of the month's clean trips, all fleets."""
        return self.root / "silver" / f"month={month}"

    def rejected(self, month: str) -> Path:
        """Folder of the month's rejected rows, all fleets."""
        return self.root / "rejected" / f"month={month}"

    def staging(self, name: str) -> Path:
        """Folder in which `name` is prepared. What an interrupted run left there may be taken up again."""
        return self.root / ".staging" / name

    def silver_months(self) -> list[str]:
        """Months that have clean trips, in order."""
        return sorted(folder.name.removeprefix("month=") for folder in (self.root / "silver").glob("month=*"))

    def bronze_fleets(self, month: str) -> list[str]:
        """Fleets whose file of the month is in the lake, in order."""
        return sorted(receipt.parent.parent.name for receipt in (self.root / "bronze").glob(f"*/{month}/{RECEIPT}"))

    def receipt(self, fleet: str, month: str) -> dict[str, Any] | None:
        """The receipt of a bronze file, or None when the file is not in the lake."""
        return read_json(self.bronze(fleet, month) / RECEIPT)

    def manifest(self, month: str) -> dict[str, Any] | None:
        """What is known of a silver month (counts, bronze digests, rules), or None when there is none."""
        return read_json(self.silver(month) / MANIFEST)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keeps other processes from working on `name`; a killed holder lets go."""
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def publish(self, staged: Path, final: Path) -> None:
        """Puts the folder `staged` in the place of `final` and removes what was there."""
        sync_tree(staged)
        _swap(staged, final)
        shutil.rmtree(staged, ignore_errors=True)

    def publish_together(self, staged: Path, parts: dict[str, Path], version: str) -> None:
        """Publishes the subfolders of `staged` as one version: `parts` maps a subfolder's name to its place.

        Each subfolder holds a manifest with `version` in it. Once the commit file is written, the version is
        what readers get: an interruption later than that is finished by `recover`.
        """
        sync_tree(staged)
        commit = {"version": version, "parts": {part: str(self._inside(final)) for part, final in parts.items()}}
        write_json(staged / _COMMIT, commit)
        self._finish(staged)

    def recover(self) -> list[str]:
        """Finishes exchanges that a killed process began; returns the names of what was finished.

        Takes the lock of each, so that work in progress is waited for and not disturbed.
        """
        finished = []
        for commit in sorted((self.root / ".staging").glob(f"*/{_COMMIT}")):
            name = commit.parent.name
            with self.lock(name):
                if commit.exists():
                    self._finish(commit.parent)
                    finished.append(name)
        for aside in sorted(self.root.glob("*/**/*.replaced")):
            final = aside.with_name(aside.name.removesuffix(".replaced"))
            if final.exists():
                shutil.rmtree(aside)
            else:
                aside.rename(final)
                finished.append(final.name)
        return finished

    def _finish(self, staged: Path) -> None:
        commit = read_json(staged / _COMMIT) or {}
        for part, place in commit["parts"].items():
            new = read_json(staged / part / MANIFEST)
            # After the exchange the staged folder holds the old version: then this part is done.
            if new is not None and new["version"] == commit["version"]:
                _swap(staged / part, self.root / place)
        (staged / _COMMIT).unlink()
        shutil.rmtree(staged, ignore_errors=True)

    def _inside(self, path: Path) -> Path:
        return path.relative_to(self.root)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None when there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON object so that the file is either complete or not there."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True, default=str)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def sync_tree(folder: Path) -> None:
    """Makes sure that every file below `folder` is on the disk before its name says so."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _swap(staged: Path, final: Path) -> None:
    """Renames `staged` to `final`; an old `final` ends up at `staged`, by an exchange where the system has it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        staged.rename(final)
    elif not _exchange(staged, final):
        # Two renames where there is no exchange (macOS, some network file systems). A kill between them
        # leaves the old version under a name that `recover` knows.
        aside = final.with_name(final.name + ".replaced")
        final.rename(aside)
        staged.rename(final)
        aside.rename(staged)
    directory = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two paths atomically (Linux renameat2); False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(error, os.strerror(error), str(one), None, str(other))
