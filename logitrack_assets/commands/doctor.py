"""`logitrack doctor`: one diagnostic for each part of an installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from logitrack_assets.commands import diagnostics
from logitrack_assets.commands.requirements import require_disk, require_java, require_source
from logitrack_assets.errors import LogitrackError
from logitrack_assets.home import disk_error, require_home
from logitrack_assets.settings import Settings

PART_WIDTH = 15


@dataclass(frozen=True)
class Diagnostic:
    """The state of one part of the installation.

    Attributes:
        part: Name of the part.
        ok: Whether it works.
        fact: What was found.
        hint: One thing to do where it does not work.
    """

    part: str
    ok: bool
    fact: str
    hint: str | None = None


@dataclass(frozen=True)
class _Part:
    """A part of the installation: its check, and the parts without which the check would only repeat their error."""

    name: str
    check: Callable[[Settings], str]
    needs: frozenset[str] = frozenset()


_HOME, _DATABASE = frozenset({"home"}), frozenset({"home", "database"})
_PARTS = (
    _Part("Java", lambda _: require_java()),
    _Part("memory", diagnostics.diagnose_memory),
    _Part("home", lambda settings: f"{require_home(settings.home)} is writable"),
    _Part("disk", lambda settings: require_disk(settings.home), _HOME),
    _Part("service port", diagnostics.diagnose_service_port),
    _Part("Dagster port", diagnostics.diagnose_dagster_port),
    _Part("database", diagnostics.diagnose_database, _HOME),
    _Part("Dagster daemon", diagnostics.diagnose_daemon, _DATABASE),
    _Part("Dagster runs", diagnostics.diagnose_runs, _DATABASE),
    _Part("Spark slots", diagnostics.diagnose_spark_slots, _DATABASE),
    _Part("data source", require_source),
    _Part("lake", diagnostics.diagnose_lake, _HOME),
    _Part("model", diagnostics.diagnose_model, _HOME),
)


def run_diagnostics(settings: Settings) -> Iterator[Diagnostic]:
    """Yield the diagnostic of one part after the other, each as soon as it is known.

    A part is left out when another one that it needs does not work.
    """
    failed: set[str] = set()
    for part in _PARTS:
        if part.needs & failed:
            continue
        try:
            yield Diagnostic(part.name, True, part.check(settings))
        except (LogitrackError, OSError) as error:
            known = error if isinstance(error, LogitrackError) else disk_error(error)
            if known is None:
                raise
            failed.add(part.name)
            yield Diagnostic(part.name, False, known.message, known.hint)


def print_diagnostics(settings: Settings, console: Console) -> bool:
    """Print the diagnostics as a table, row by row; return whether every part works."""
    all_ok = True
    for diagnostic in run_diagnostics(settings):
        all_ok &= diagnostic.ok
        sign = "[green]✓[/]" if diagnostic.ok else "[red]✗[/]"
        console.print(
            f"{sign} {diagnostic.part:<{PART_WIDTH}} {escape(diagnostic.fact)}", highlight=False, soft_wrap=True
        )
        if diagnostic.hint:
            console.print(f"  {'':<{PART_WIDTH}} → {escape(diagnostic.hint)}", highlight=False, soft_wrap=True)
    return all_ok
