"""`logitrack model`: list, show, promote and roll back model versions."""

from __future__ import annotations

import getpass

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_assets.settings import Settings


def open_registry(settings: Settings) -> ModelRegistry:
    """Return the model registry of this installation."""
    return signed_registry(settings)


def print_versions(settings: Settings, console: Console) -> None:
    """Print one row for each version, newest first: its training months and its status."""
    models = open_registry(settings)
    # Never wrapped, whatever the terminal's width, because users copy it.
    name = Column("version", no_wrap=True, min_width=22)
    table = Table(name, "trained through", "fleets", "state", "reason", box=None, pad_edge=False)
    for version, manifest, status, reason in models.listed():
        through = manifest.trained_through if manifest else "?"
        fleets = ", ".join(manifest.fleets) if manifest else "?"
        table.add_row(version, through, fleets, status, escape(reason))
    try:
        models.champion()
    except ArtifactError as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False)
    console.print(table if table.row_count else "No model yet. Run `logitrack materialize --months …`.")


def print_card(settings: Settings, version: str, console: Console) -> None:
    """Print the model card of a version."""
    console.print(Markdown(open_registry(settings).card(version)))


def promote_version(settings: Settings, version: str, reason: str, console: Console) -> None:
    """Make a version the champion."""
    champion = open_registry(settings).promote(version, by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion.", highlight=False)


def roll_back(settings: Settings, reason: str, console: Console) -> None:
    """Make the previous champion the champion again."""
    champion = open_registry(settings).rollback(by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion again.", highlight=False)
