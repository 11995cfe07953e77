"""The champions and the candidates, for the one at the terminal."""

from __future__ import annotations

import getpass

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Column, Table

from logitrack_assets.eta.artifact import CARD, ArtifactError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import Settings


def print_versions(settings: Settings, console: Console) -> None:
    """A line a version, newest first: what it was made of and what became of it."""
    # Whole, whatever the terminal's width: it is what one types to promote it.
    name = Column("version", no_wrap=True, min_width=22)
    table = Table(name, "trained through", "fleets", "state", "why", box=None, pad_edge=False)
    for version, manifest, state, reason in _models(settings).listed():
        through = manifest.trained_through if manifest else "?"
        fleets = ", ".join(manifest.fleets) if manifest else "?"
        table.add_row(version, through, fleets, state, reason)
    try:
        _models(settings).champion()
    except ArtifactError as error:
        console.print(f"[red]{error}[/]", highlight=False)
    console.print(table if table.row_count else "No model yet: `logitrack materialize --months …` makes one.")


def print_card(settings: Settings, version: str, console: Console) -> None:
    """The model card."""
    console.print(Markdown((_models(settings).path(version) / CARD).read_text(encoding="utf-8")))


def promote(settings: Settings, version: str, reason: str, console: Console) -> None:
    """Moves the pointer by hand."""
    champion = _models(settings).promote(version, by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion.", highlight=False)


def rollback(settings: Settings, reason: str, console: Console) -> None:
    """Moves the pointer back."""
    champion = _models(settings).rollback(by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion again.", highlight=False)


def _models(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings.home / "models")
