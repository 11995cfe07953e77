"""Hatch runs this before it packs a wheel, so that the wheel carries the built web console."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # the parameter is Hatch's own configuration
    """Builds the console for a wheel; an editable installation serves what `make console` builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # of the interface
        """Build the console.

        Raises:
            CalledProcessError: the build failed; it has written why.
        """
        if version != "editable":
            script = Path(self.root, "logitrack_service", "console", "build.py")
            subprocess.run([sys.executable, str(script)], check=True)
