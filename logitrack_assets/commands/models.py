"""The champions and the candidates, for the one at the terminal."""

from __future__ import annotations

import getpass

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from logitrack_assets.eta.models import ModelStore
from logitrack_assets.settings import Settings


def print_versions(settings: Settings, console: Console) -> None:
    """A line a version, newest first."""
    models = _models(settings)
    champion = models.champion()
    served = champion.version if champion else None
    table = Table("version", "made", "trained through", "MAE", "", box=None, pad_edge=False)
    for version in sorted(models.versions(), reverse=True):
        manifest = models.manifest(version)
        rejected = models.rejection(version)
        state = "champion" if version == served else f"rejected: {rejected.reason}" if rejected else ""
        table.add_row(
            version, manifest.created_at[:16], manifest.trained_through, f"{manifest.metrics.mae_minutes:.2f}", state
        )
    console.print(table if table.row_count else "No model yet: `logitrack materialize --months …` makes one.")


def print_card(settings: Settings, version: str, console: Console) -> None:
    """The model card."""
    console.print(Markdown(_models(settings).card(version)))


def promote(settings: Settings, version: str, reason: str, console: Console) -> None:
    """Moves the pointer by hand."""
    _models(settings).promote(version, by=getpass.getuser(), reason=reason)
    console.print(f"{version} is champion.", highlight=False)


def rollback(settings: Settings, reason: str, console: Console) -> None:
    """Moves the pointer back."""
    champion = _models(settings).rollback(by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion again.", highlight=False)


def _models(settings: Settings) -> ModelStore:
    return ModelStore(settings.home / "models")
