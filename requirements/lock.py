"""Lock the dependencies of pyproject.toml in `uv.lock`, and export it with hashes to the files beside this script.

pip installs the exports, so that installing needs nothing but pip. Install them with `--no-deps`: they are complete,
and uv names no extras in them, which pip's resolver would miss.

The committed `uv.lock` holds no address of an index or of a file on it: people and CI use different mirrors, and the
hashes identify the files. `uv lock --check`, `uv lock` and `uv export` accept this form; `uv sync` does not, because
it downloads from the recorded addresses.

Usage: `python requirements/lock.py`, or `python requirements/lock.py --check` to change nothing and fail when
pyproject.toml, `uv.lock` and the exports disagree.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).parent
LOCK = HERE.parent / "uv.lock"
HEADER = "# Exported from uv.lock by `make lock`.\n"
EXPORTS = {
    "console": ("--only-group", "console"),
    "dev": ("--all-extras", "--all-groups"),
    "run": ("--extra", "service", "--extra", "assets", "--extra", "embedded", "--no-dev", "--group", "build"),
    "service": ("--extra", "service", "--extra", "otel", "--no-dev", "--group", "build"),
}
"""Options of `uv export` for each file: Node.js for the web console; everything; what `make up` runs; the service."""

_FILE_ADDRESS = re.compile(r'\b(?:url|path) = "(?:[^"]*/)?([^"/]+)"(?=, hash = )')


def main() -> int:
    """Write the lock and its exports, or check them. Return the exit code."""
    if sys.argv[1:] == ["--check"]:
        return check()
    _uv("lock")
    LOCK.write_text(without_addresses(LOCK.read_text()))
    for name in EXPORTS:
        _export_file(name).write_text(export(name))
    return 0


def check() -> int:
    """Compare pyproject.toml, the lock and its exports without changing them. Return 1 if they disagree."""
    _uv("lock", "--check")
    expected = {LOCK: without_addresses(LOCK.read_text())} | {_export_file(name): export(name) for name in EXPORTS}
    stale = [file.name for file, text in expected.items() if file.read_text() != text]
    for name in stale:
        print(f"{name} is not what `make lock` writes: run it and commit the result.", file=sys.stderr)
    return 1 if stale else 0


def without_addresses(lock: str) -> str:
    """Replace the index by a neutral name and each file's address by its file name."""
    lock = re.sub(r'registry = "[^"]*"', 'registry = "pypi"', lock)
    return _FILE_ADDRESS.sub(lambda match: f'filename = "{unquote(match[1])}"', lock)


def export(name: str) -> str:
    """Return the pinned and hashed requirements of one export, for every platform."""
    return HEADER + _uv("export", "--frozen", "--no-emit-project", "--no-header", "--no-annotate", *EXPORTS[name])


def _export_file(name: str) -> Path:
    return HERE / f"{name}.txt"


def _uv(*arguments: str) -> str:
    command = [sys.executable, "-m", "uv", "--quiet", *arguments, "--project", str(HERE.parent)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
