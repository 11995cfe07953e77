"""The command line: errors with hints, misspelt settings, and a help that loads neither Dagster nor Spark."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
