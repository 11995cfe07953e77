"""Atomic publication of staged folders, one or several as one version.

A version is staged below `.staging/` on the file system of the lake and swapped in by an exchange of folders, so that
readers find the previous version or the new one, whenever a process is killed. Where several folders form one version
(silver and rejected), a commit file records that the staged ones are complete; `recover_publications` finishes an
interrupted exchange from it. This module handles folders and has no dependency on trips, Spark or Dagster.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from logitrack_assets.files import exclusive_lock, fsync_tree, read_json, write_json
from logitrack_assets.lake.exchange import restore_replaced, swap_folders

MANIFEST = "_month.json"  # Spark, Arrow and DuckDB skip names that begin with an underscore
STAGING = ".staging"
_COMMIT = "COMMIT"


@contextmanager
def lock_work(root: Path, name: str) -> Iterator[None]:
    """Exclude other processes from the work called `name` for a block."""
    with exclusive_lock(root / ".locks" / f"{name}.lock"):
        yield


def publish_folder(staged: Path, final: Path) -> None:
    """Replace the folder `final` by `staged` and delete the previous version."""
    fsync_tree(staged)
    swap_folders(staged, final)
    shutil.rmtree(staged, ignore_errors=True)


def publish_folders(root: Path, staged: Path, parts: Mapping[str, Path], version: str) -> None:
    """Publish subfolders of `staged` as one version.

    Args:
        root: Folder of the lake.
        staged: Its subfolders hold the new version; each has a manifest with the key `version`.
        parts: The final folder for each subfolder's name, below `root`.
        version: Identifier of the version. Once the commit file is written, the publication is decided:
            `recover_publications` finishes it after an interruption.
    """
    fsync_tree(staged)
    places = {part: str(final.relative_to(root)) for part, final in parts.items()}
    write_json(staged / _COMMIT, {"version": version, "parts": places})
    _finish(root, staged)


def clear_staging(root: Path, staged: Path) -> None:
    """Remove what an interrupted run left in a staging folder; a decided publication is finished, not removed.

    The caller holds the lock of the work.
    """
    _finish(root, staged)
    shutil.rmtree(staged, ignore_errors=True)


def recover_publications(root: Path) -> list[str]:
    """Finish the publications that a killed process began; wait for those in progress.

    Returns:
        Names of the staged folders that were published and of the folders that were restored.
    """
    finished = []
    for commit in sorted((root / STAGING).glob(f"*/{_COMMIT}")):
        name = commit.parent.name
        with lock_work(root, name):
            if commit.exists():  # else its own process finished it before this one got the lock
                _finish(root, commit.parent)
                finished.append(name)
    return finished + restore_replaced(root)


def _finish(root: Path, staged: Path) -> None:
    commit = read_json(staged / _COMMIT)
    if commit is None:
        return
    for part, place in commit["parts"].items():
        new = read_json(staged / part / MANIFEST)
        # After the exchange the staged folder holds the previous version: then this part is done.
        if new is not None and new["version"] == commit["version"]:
            swap_folders(staged / part, root / place)
    (staged / _COMMIT).unlink()
    shutil.rmtree(staged, ignore_errors=True)
