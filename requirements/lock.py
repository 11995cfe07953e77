"""Pins what pyproject.toml asks for, with hashes and for every platform, into the files beside this script.

`dev.txt` is everything; the others take their versions from it, so that no two of them disagree.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXTRAS = {
    "dev": ("assets", "service", "mlflow", "otel", "dev"),
    "run": ("assets", "service"),
    "service": ("service", "otel"),
}
COMPILE = (
    *(sys.executable, "-m", "uv", "pip", "compile"),
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-strip-extras"),
    *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"),
)


def main() -> None:
    """Writes dev.txt, run.txt (`make up`) and service.txt (the service alone)."""
    for name, extras in EXTRAS.items():
        wanted = [part for extra in extras for part in ("--extra", extra)]
        agreed = [] if name == "dev" else ["--constraint", str(HERE / "dev.txt")]
        target = ["--quiet", "--output-file", str(HERE / f"{name}.txt")]
        subprocess.run([*COMPILE, str(HERE.parent / "pyproject.toml"), *wanted, *agreed, *target], check=True)


if __name__ == "__main__":
    main()
