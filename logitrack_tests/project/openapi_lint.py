"""Lint the OpenAPI document of the service with Redocly CLI.

    python -m logitrack_tests.project.openapi_lint

The linter runs on Node.js and is fetched by npx from the configured npm registry. Without Node.js the lint is skipped
on a developer's machine and fails in CI, that is where the environment variable CI is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from logitrack_assets.settings import Settings
from logitrack_service.app import create_app
from logitrack_service.settings import ServiceSettings

LINTER = "@redocly/cli@2.77.0"
CONFIG = Path(__file__).with_name("redocly.yaml")
TIMEOUT_SECONDS = 300  # the first run downloads the linter


def openapi_document(home: Path) -> dict[str, Any]:
    """Return the OpenAPI document of the service; no database is needed.

    Args:
        home: directory that serves as `LOGITRACK_HOME`.
    """
    settings = Settings(
        home=home,
        database_url=SecretStr("postgresql://localhost/unused"),
        secret_key=SecretStr("a key that signs nothing, of more than thirty-two bytes"),
    )
    return create_app(settings, ServiceSettings()).openapi_schema.to_schema()


def main() -> int:
    """Run the linter.

    Returns:
        The exit code: 0 if the document passes or the lint was skipped.
    """
    npx = shutil.which("npx")
    if npx is None:
        required = bool(os.environ.get("CI"))
        print(f"OpenAPI lint {'failed' if required else 'skipped'}: npx (Node.js 20 or newer) is not installed.")
        return int(required)
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "openapi.json")
        document.write_text(json.dumps(openapi_document(Path(folder)), indent=1))
        environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
        command = [npx, "--yes", LINTER, "lint", f"--config={CONFIG}", "--format=stylish", str(document)]
        return subprocess.run(command, env=environment, check=False, timeout=TIMEOUT_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main())
