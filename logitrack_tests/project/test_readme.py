"""The README tells the truth: its settings are the settings, its commands are the commands."""

from __future__ import annotations

import re
import subprocess

from logitrack_assets.cli import app
from logitrack_assets.settings import RoleSettings, Settings
from logitrack_service.settings import ServiceSettings
from logitrack_tests.conftest import REPOSITORY

SETTINGS = (Settings, ServiceSettings, RoleSettings)
README = (REPOSITORY / "README.md").read_text()


def test_every_setting_is_in_the_table_and_no_other() -> None:
    known = {f"LOGITRACK_{name.upper()}" for kind in SETTINGS for name in kind.model_fields}
    listed = set(re.findall(r"^\| `(LOGITRACK_\w+)`", README, flags=re.MULTILINE))
    assert listed == known


def test_every_command_is_named() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert f"logitrack {name}" in README, name


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`", README)) | set(re.findall(r"^make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"up", "demo", "test"} <= named <= targets


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    """No absolute home path and no registry's address: the project must mean the same everywhere."""
    files = subprocess.run(
        [
            "git",
            "grep",
            "-lIE",
            r"(^|[^.[:alnum:]])/(home|root|Users)/[a-z]|files\.python[h]osted|pypi[.]org/simple",
            "--",
            ".",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert [file for file in files if file != "logitrack_tests/project/test_readme.py"] == []
