"""The README agrees with the code: settings with defaults and descriptions, commands, extras, targets, folders."""

from __future__ import annotations

import re
import subprocess
import tomllib

from logitrack_assets.cli import app
from logitrack_assets.settings import RoleSettings, Settings
from logitrack_service.settings import ServiceSettings
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.project.settings_table import documented_table, settings_table

SETTINGS = (Settings, ServiceSettings, RoleSettings)
README = (REPOSITORY / "README.md").read_text()


def test_table_of_settings_equals_their_definitions() -> None:
    """Names, defaults and descriptions; `python -m logitrack_tests.project.settings_table` writes the table."""
    known = {f"LOGITRACK_{name.upper()}" for kind in SETTINGS for name in kind.model_fields}
    listed = set(re.findall(r"^\| `(LOGITRACK_\w+)`", README, flags=re.MULTILINE))
    assert listed == known
    assert documented_table(README) == settings_table()


def test_every_extra_is_in_the_table_and_no_other() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = {
        name for row in re.findall(r"^\| (`[a-z`, ]+`) \| .*\n", _section("Install"), re.M) for name in _names(row)
    }
    assert listed == set(project["optional-dependencies"]) - {"core"}, "core is part of service and assets"


def test_every_folder_of_the_layout_exists_and_no_package_is_missing() -> None:
    layout = _section("Layout").split("```")[1]
    folder, named = "", set()
    for line in layout.splitlines():
        if top := re.match(r"(\w+)/", line):
            folder = top[1]
            named.add(folder)
        elif names := re.match(r"  ([\w/ ]+?)(?:  |$)", line):
            named |= {f"{folder}/{name.strip('/')}" for name in names[1].split()}
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []
    packages = {
        str(path.parent.relative_to(REPOSITORY))
        for path in REPOSITORY.glob("logitrack_*/*/__init__.py")
        if path.parts[-3] != "logitrack_tests"
    }
    assert packages <= named


def _section(title: str) -> str:
    """Return the section of a heading, up to the next heading of the same level."""
    return re.split(r"^## ", README.split(f"\n## {title}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


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
    """No absolute home path and no address of a package registry."""
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
