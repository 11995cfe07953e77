"""`logitrack predict`: a file of trips through the champion."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from logitrack_assets.commands.models import champion_version, open_registry
from logitrack_assets.eta.file_scoring import score_file
from logitrack_assets.settings import Settings


def predict_file(settings: Settings, file: Path, output: Path, console: Console) -> None:
    """Write the champion's predictions for the trips of a file, in the same order.

    Raises:
        LogitrackError: There is no champion, or the file cannot be read.
    """
    models = open_registry(settings)
    version = champion_version(models)
    rows = score_file(file, output, models.load(version))
    console.print(f"{rows:,} trips predicted by {version}: {output}", highlight=False)
