"""A home folder that cannot be used is a sentence with a hint, and an installation has one id."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from logitrack_assets.home import (
    HomeError,
    disk_error,
    load_or_create_instance_id,
    read_instance_id,
    require_home,
)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Yield a mounted disk of 1 MB; skip where mounting is not permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    make = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(make, check=False).returncode:
        pytest.skip("mounting a disk is not permitted")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_missing_home_is_made_and_left_empty(tmp_path: Path) -> None:
    home = require_home(tmp_path / "a" / "home")
    assert home.is_dir()
    assert list(home.iterdir()) == []


def test_home_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match=r"home is a file\. Move the file, or set LOGITRACK_HOME"):
        require_home(tmp_path / "home")


@pytest.mark.parametrize("parent", ["file", "/proc"])
def test_home_that_cannot_be_made_is_an_error(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match=r"cannot be made \(.*\)\. Correct .*, or set LOGITRACK_HOME"):
        require_home(tmp_path / parent / "home")


def test_read_only_home_is_an_error(mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(HomeError, match=r"is not writable \(Read-only file system\)"):
        require_home(mounted)
    with pytest.raises(HomeError, match=r"cannot be made \(Read-only file system\)"):
        require_home(mounted / "home")
    assert load_or_create_instance_id(mounted) is None


def test_home_on_a_full_disk_is_an_error(mounted: Path) -> None:
    (mounted / "other data").write_bytes(b"x" * shutil.disk_usage(mounted).free)
    with pytest.raises(HomeError, match=r"is full\. Free some space, or set LOGITRACK_HOME"):
        require_home(mounted)
    assert [path.name for path in mounted.iterdir()] == ["other data"]


def test_home_without_permission_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(HomeError, match=r"is not writable \(Permission denied\)"):
        require_home(tmp_path)


def test_instance_id_is_created_once_and_differs_between_homes(tmp_path: Path) -> None:
    assert read_instance_id(tmp_path / "a") is None
    first = load_or_create_instance_id(tmp_path / "a")
    assert first is not None
    assert len(first) == 32
    assert load_or_create_instance_id(tmp_path / "a") == read_instance_id(tmp_path / "a") == first
    assert load_or_create_instance_id(tmp_path / "b") != first


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some disk space."),
        (errno.ENOTDIR, "A part of that path is a file: move it, or name another path."),
        (errno.EACCES, "Correct its permissions, or name another path."),
    ],
)
def test_error_of_the_disk_gets_a_hint(number: int, hint: str) -> None:
    known = disk_error(OSError(number, os.strerror(number), "some/file"))
    assert known is not None
    assert known.message == f"some/file cannot be used ({os.strerror(number)})."
    assert known.hint == hint


def test_other_errors_of_the_system_are_not_explained_away() -> None:
    assert disk_error(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None
    assert disk_error(OSError(errno.EACCES, "a socket, no path")) is None
