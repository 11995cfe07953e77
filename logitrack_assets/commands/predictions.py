"""`logitrack predict`: a file of trips through the champion."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from logitrack_assets.commands.models import champion_version, open_registry
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.file_scoring import score_file
from logitrack_assets.settings import Settings


def predict_file(settings: Settings, file: Path, output: Path, console: Console, *, strict: bool = False) -> None:
    """Write the champion's predictions for the trips of a file, in the same order, and print a summary.

    A row with an invalid value has the column `error` instead of a prediction.

    Raises:
        LogitrackError: There is no champion, the file cannot be read, or no row of it has a prediction; with `strict`,
            any row has none. In the last two cases the output is written.
    """
    models = open_registry(settings)
    version = champion_version(models)
    summary = score_file(file, output, models.load(version))
    console.print(
        f"{summary.predicted:,} of {summary.rows:,} trips predicted by {version}: {output}",
        highlight=False,
        soft_wrap=True,
    )
    for error in summary.errors:
        console.print(f"  [yellow]{escape(error)}[/]", highlight=False, soft_wrap=True)
    if summary.failed > len(summary.errors):
        console.print(f"  … and {summary.failed - len(summary.errors):,} more.", highlight=False)
    if summary.failed and (strict or summary.predicted == 0):
        raise LogitrackError(
            f"{summary.failed:,} of {summary.rows:,} trips have no prediction.",
            hint=f"The column `error` of {output} names what to correct.",
        )
