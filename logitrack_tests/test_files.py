"""Atomic writes and file locks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from logitrack_assets.files import (
    FileLock,
    create_atomic,
    exclusive_lock,
    fsync_tree,
    shared_lock,
    try_lock,
    write_atomic,
)


def test_write_atomic_replaces_content_and_leaves_no_draft(tmp_path):
    path = tmp_path / "state.json"
    write_atomic(path, "old")
    write_atomic(path, "näxt".encode())
    assert path.read_text(encoding="utf-8") == "näxt"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_failure_keeps_previous_content_and_leaves_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_atomic(path, "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_create_atomic_creates_once_with_mode(tmp_path):
    path = tmp_path / "key"
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: create_atomic(path, str(number), mode=0o600), range(8)))
    assert created.count(True) == 1
    assert path.read_text() == str(created.index(True))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_fsync_tree_accepts_nested_folders(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    fsync_tree(tmp_path)
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"


def test_exclusive_lock_excludes_and_shared_locks_coexist(tmp_path):
    path = tmp_path / "locks" / "name.lock"
    with exclusive_lock(path):
        assert try_lock(path) is None
        assert try_lock(path, shared=True) is None
    with shared_lock(path):
        other = try_lock(path, shared=True)
        assert other is not None
        assert try_lock(path) is None
        other.release()
    held = try_lock(path)
    assert held is not None
    held.release()


def test_shared_lock_converts_to_exclusive_only_without_other_holders(tmp_path):
    path = tmp_path / "name.lock"
    first, second = FileLock(path), FileLock(path)
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not first.acquire(wait=False)
    second.release()
    assert first.acquire(wait=False)
    first.release()


def test_killed_holder_releases_its_lock(tmp_path: Path):
    path = tmp_path / "name.lock"
    script = (
        "import sys, time; from pathlib import Path; from logitrack_assets.files import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert try_lock(path) is None
    holder.kill()
    holder.communicate()
    held = try_lock(path)
    assert held is not None
    held.release()
