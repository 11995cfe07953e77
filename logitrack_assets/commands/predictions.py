"""`logitrack predict`: a file of trips through the champion."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from logitrack_assets.commands.models import open_registry
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.file_scoring import score_file
from logitrack_assets.settings import Settings


def predict_file(settings: Settings, file: Path, output: Path, console: Console) -> None:
    """Write the champion's predictions for the trips of a file, in the same order.

    Raises:
        LogitrackError: There is no champion, or the file cannot be read.
    """
    models = open_registry(settings)
    champion = models.champion()
    if champion is None:
        raise LogitrackError(
            "There is no champion to predict with.", hint="Run `logitrack materialize --months 2019-01:2019-12` first."
        )
    rows = score_file(file, output, models.load(champion.version))
    console.print(f"{rows:,} trips predicted by {champion.version}: {output}", highlight=False)
