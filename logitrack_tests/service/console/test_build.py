"""The build of the web console finds its tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from logitrack_service.console import build


def test_npm_of_the_locked_package_is_used_where_the_machine_has_none(tmp_path: Path):
    for program in ("env", "sh"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    script = subprocess.run(
        [sys.executable, build.__file__, "--has-npm"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.returncode == 0, script.stderr
