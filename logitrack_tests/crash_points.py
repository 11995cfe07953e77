"""Crash points: the operations that make a change durable, each with a name, and runs that are killed at one of them.

The product has no hooks. A forked process replaces the operations of the standard library, of `renameat2` and of
psycopg, and ends itself by SIGKILL just before the n-th of them. A power failure is simulated as well: files that were
written and not flushed are emptied before the kill. A rename whose folder was not flushed is lost then; that is the
state before the rename, which is a crash point of its own.

A name is the call in the source, for example `lake.exchange.swap_folders: staged.rename(final)`.
"""

from __future__ import annotations

import ast
import functools
import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from greenlet import getcurrent

from logitrack_assets.lake import exchange

REPOSITORY = Path(__file__).parent.parent
PACKAGES = ("logitrack_assets", "logitrack_service")
DURABLE_METHODS = frozenset({"commit", "fsync", "link", "rename", "renames"})
DURABLE_HELPERS = frozenset(
    {"_exchange", "create_atomic", "fsync_path", "fsync_tree", "swap_folders", "write_atomic", "write_json"}
)
OPERATIONS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "link"),
    (os, "rename"),
    (os, "replace"),
    (os, "rmdir"),
    (os, "unlink"),
    (exchange, "_exchange"),
    (psycopg.Connection, "commit"),
    (psycopg.AsyncConnection, "commit"),
)
"""What is replaced. Deletions are crash points too: recovery depends on what is left."""

STATE_MODULES = ("eta.", "files.", "home.", "lake.", "logitrack_service.", "trips.", "warehouse.")
"""Modules whose calls of the helpers change state that lasts. Elsewhere a helper writes one file anew, as a whole."""

END = "end of the operation"
_processes = multiprocessing.get_context("forkserver")
# Also what pyarrow imports at first use: else each process would import it again.
_processes.set_forkserver_preload(["logitrack_tests.test_crash_points", "pandas", "pyarrow.dataset"])


@dataclass(frozen=True)
class Site:
    """A call in the source that makes something durable.

    Attributes:
        name: Module, function and call.
        file: The file.
        lines: First and last line of the call.
    """

    name: str
    file: str
    lines: tuple[int, int]


@functools.cache
def durable_sites() -> tuple[Site, ...]:
    """Return every call in both packages, migrations aside, that makes something durable."""
    sites = []
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            if "migrations" not in file.parts:
                module = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
                finder = _SiteFinder(str(file), module.removeprefix("logitrack_assets."))
                finder.visit(ast.parse(file.read_text(encoding="utf-8")))
                sites += finder.sites
    return tuple(sites)


class _SiteFinder(ast.NodeVisitor):
    """Collects the durable calls of a module."""

    def __init__(self, file: str, module: str) -> None:
        self.sites: list[Site] = []
        self._file, self._path = file, [module]
        self._names: Counter[str] = Counter()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._path.append(node.name)
        self.generic_visit(node)
        self._path.pop()

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        if _is_durable(node, holds_state=f"{self._path[0]}.".startswith(STATE_MODULES)):
            self._add(node)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            # A connection of psycopg commits at the end of its block; SQLAlchemy's rolls back.
            if self._path[0] == "warehouse" and ast.unparse(item.context_expr) == "self.connect()":
                self._add(item.context_expr)
        self.generic_visit(node)

    def _add(self, call: ast.expr) -> None:
        name = f"{'.'.join(self._path)}: {ast.unparse(call)}"
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name} ({self._names[name]})"
        self.sites.append(Site(name, self._file, (call.lineno, call.end_lineno or call.lineno)))


def _is_durable(call: ast.Call, *, holds_state: bool) -> bool:
    if isinstance(call.func, ast.Name):
        return holds_state and call.func.id in DURABLE_HELPERS
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value)
    if call.func.attr == "replace":  # that of a path: others take two arguments, or named ones
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    if call.func.attr == "begin":
        return owner.endswith("engine")
    return call.func.attr in DURABLE_METHODS


@dataclass
class CrashRun:
    """A run of an operation in a process of its own.

    Attributes:
        points: Names of the crash points that were reached, in order; the last one is `END`.
        sites: Names of the durable calls that were under way at one of them.
    """

    points: list[str] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)


def run_to_the_end(operation: Callable[[Path], None], home: Path) -> CrashRun:
    """Run an operation and return its crash points.

    Raises:
        AssertionError: It failed.
    """
    return _run(operation, home, kill_at=-1, power_failure=False)


def check_each_crash(
    folder: Path,
    prepare: Callable[[Path], None],
    operation: Callable[[Path], None],
    check: Callable[[Path], None],
    *,
    prepare_run: Callable[[Path], None],
    power_failure: bool,
) -> int:
    """Kill an operation once at each of its crash points, and check what each kill leaves.

    Args:
        folder: An empty folder.
        prepare: Makes the state before the operation, once; every run begins with a copy of it.
        operation: What is killed; a function of a module, or a `functools.partial` of one.
        check: Examines what the kill left.
        prepare_run: Adds to each copy what every run needs of its own.
        power_failure: Empty the files that were not flushed.

    Returns:
        The number of kills.
    """
    prepared = folder / "prepared"
    prepared.mkdir()
    prepare(prepared)
    kills = 0
    while True:
        home = folder / str(kills)
        shutil.copytree(prepared, home)
        prepare_run(home)
        run = _run(operation, home, kill_at=kills, power_failure=power_failure)
        assert len(run.points) == kills + 1, f"{len(run.points)} crash points were reached, not {kills + 1}"
        try:
            check(home)
        except BaseException as error:
            error.add_note(f"killed before crash point {kills}: {run.points[-1]}")
            raise
        shutil.rmtree(home)
        kills += 1
        if run.points[-1] == END:
            return kills


def _run(operation: Callable[[Path], None], home: Path, *, kill_at: int, power_failure: bool) -> CrashRun:
    record = home.with_name(f"{home.name}.points")
    process = _processes.Process(target=_child, args=(operation, home, record, durable_sites(), kill_at, power_failure))
    process.start()
    process.join(60)
    expected = 0 if kill_at < 0 else -signal.SIGKILL
    assert process.exitcode == expected, f"the operation ended with {process.exitcode}, not {expected}"
    run = CrashRun()
    for line in record.read_text(encoding="utf-8").splitlines():
        point, *sites = line.split("\t")
        run.points.append(point)
        run.sites.update(sites)
    record.unlink()
    return run


def _child(
    operation: Callable[[Path], None],
    home: Path,
    record: Path,
    sites: tuple[Site, ...],
    kill_at: int,
    power_failure: bool,
) -> None:
    points = _Points(home, record, sites, kill_at, power_failure)
    points.install()
    operation(home)
    points.reach(END, [])


class _Points:
    """Counts the crash points of this process and ends it at one of them."""

    def __init__(self, home: Path, record: Path, sites: tuple[Site, ...], kill_at: int, power_failure: bool) -> None:
        self._home, self._kill_at, self._power_failure = home, kill_at, power_failure
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._reached = 0
        self._sites = sites
        self._flushed = {inode: state for _, inode, state in _file_states(home)}

    def install(self) -> None:
        for owner, name in OPERATIONS:
            setattr(owner, name, self._replacement(name, getattr(owner, name)))

    def reach(self, point: str, sites: list[str]) -> None:
        os.write(self._record, ("\t".join([point, *sites]) + "\n").encode())
        if self._reached == self._kill_at:
            if self._power_failure:
                for path, inode, state in _file_states(self._home):
                    if self._flushed.get(inode) != state:
                        os.truncate(path, 0)
            os.kill(os.getpid(), signal.SIGKILL)
        self._reached += 1

    def _replacement(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            frames = list(_project_frames())
            if frames:  # else a library's own file
                sites = [site.name for frame in frames for site in self._sites if _is_in(frame, site)]
                self.reach(" < ".join(sites) if sites else f"{frames[0].f_code.co_qualname}: {name}", sites)
            if name == "fsync":
                state = os.fstat(args[0])
                self._flushed[state.st_ino] = (state.st_size, state.st_mtime_ns)
            return operation(*args, **kwargs)

        return replacement


def _project_frames() -> Iterator[FrameType]:
    """Yield the frames of both packages that are under way, innermost first."""
    parent = getcurrent().parent  # SQLAlchemy runs drivers in a greenlet; the coroutine that waits is in its parent
    for start in (sys._getframe(1), parent.gr_frame if parent else None):
        frame = start
        while frame is not None:
            if frame.f_globals.get("__name__", "").startswith(PACKAGES):
                yield frame
            frame = frame.f_back


def _is_in(frame: FrameType, site: Site) -> bool:
    return frame.f_code.co_filename == site.file and site.lines[0] <= frame.f_lineno <= site.lines[1]


def _file_states(folder: Path) -> Iterator[tuple[Path, int, tuple[int, int]]]:
    """Yield path, inode, and size with modification time of each file below a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            facts = path.stat()
            yield path, facts.st_ino, (facts.st_size, facts.st_mtime_ns)
