"""The command line: errors with hints, misspelt settings, and a help that loads neither Dagster nor Spark."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from logitrack_assets import cli
from logitrack_assets.settings import get_settings
from logitrack_tests.conftest import REPOSITORY


def _run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGITRACK_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment | {"COLUMNS": "200"} | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", [("logitrack_assets.cli", "model", "list"), ("logitrack_service",)])
def test_misspelt_setting_is_refused_by_every_entry_point(command: tuple[str, ...]) -> None:
    result = _run("-m", *command, LOGITRACK_SERVICE_PROT="8001")
    assert result.returncode == 1
    assert "LOGITRACK_SERVICE_PROT: no such setting." in result.stderr
    assert "Did you mean LOGITRACK_SERVICE_PORT?" in result.stderr
    assert "Traceback" not in result.stderr


def test_error_and_hint_are_separate_lines() -> None:
    result = _run("-m", "logitrack_assets.cli", "env", LOGITRACK_FLEETS="blue")
    assert result.returncode == 1
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: Settings that cannot be used: LOGITRACK_FLEETS")
    assert hint == "hint: The README lists every setting."


def test_help_loads_neither_dagster_nor_spark() -> None:
    code = (
        "import sys; sys.argv = ['logitrack', '--help']; from logitrack_assets.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'dagster', 'pyspark', 'litestar'} & set(sys.modules)))"
    )
    result = _run("-c", code)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def home_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Set LOGITRACK_HOME to a file for commands that run in this process."""
    home = tmp_path / "home"
    home.write_text("")
    monkeypatch.setenv("LOGITRACK_HOME", str(home))
    monkeypatch.delenv("LOGITRACK_DATABASE_URL", raising=False)
    get_settings.cache_clear()
    yield home
    get_settings.cache_clear()


@pytest.mark.parametrize(
    "command",
    ["up", "demo", "materialize --months 2019-01", "check", "clean", "env", "predict rides.csv -o out.csv",
     "model list", "model show", "model promote 20200101T000000-abcdef --reason none", "model rollback",
     "user create-admin ada --password-stdin"],
)  # fmt: skip
def test_home_that_is_a_file_is_a_sentence_from_every_command(
    home_is_a_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["logitrack", *command.split()])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert str(home_is_a_file) in error
    assert hint.startswith("hint: ")


def test_doctor_names_a_home_that_is_a_file_and_leaves_out_what_needs_it(
    home_is_a_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["logitrack", "doctor"])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 1
    printed = capsys.readouterr().out
    assert f"✗ home            The home folder {home_is_a_file} is a file." in printed
    assert "✓ data source" in printed
    assert "database" not in printed
