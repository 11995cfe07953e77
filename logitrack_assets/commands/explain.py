"""`logitrack explain`: a past answer, what it was made of, and the same numbers computed again."""

from __future__ import annotations

from uuid import UUID

import psycopg
from rich.console import Console
from rich.table import Table

from logitrack_assets.commands.models import open_registry
from logitrack_assets.database import migrated_database_url, psycopg_dsn
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.eta.explanation import (
    Contributions,
    LoggedAnswer,
    RecomputedAnswer,
    explain_contributions,
    read_answer,
    recompute_answer,
)
from logitrack_assets.settings import Settings


def explain_prediction(settings: Settings, prediction_id: str, console: Console, *, recompute: bool) -> None:
    """Print a prediction of the service: question, answer, model, training data, live state and contributions.

    Args:
        settings: Of the installation.
        prediction_id: Its id.
        console: Receives the text.
        recompute: Also compute the answer again, and fail when it is another one.

    Raises:
        LogitrackError: The log does not have the prediction, its version is gone, or the recomputed numbers differ.
    """
    with psycopg.connect(psycopg_dsn(migrated_database_url(settings)), autocommit=True) as connection:
        answer = read_answer(connection, _canonical(prediction_id))
        if answer is None:
            raise LogitrackError(
                f"There is no prediction {prediction_id} in the log.",
                hint="Predictions are kept for LOGITRACK_KEEP_REQUESTS_DAYS.",
            )
        predictor = open_registry(settings).load(answer.model_version)
        _print_answer(answer, console)
        _print_training(predictor.manifest, console)
        _print_contributions(explain_contributions(predictor, answer), console)
        if recompute:
            _print_recomputed(recompute_answer(connection, predictor, answer), console)


def _canonical(prediction_id: str) -> str:
    try:
        return str(UUID(prediction_id))
    except ValueError:
        raise LogitrackError(f"{prediction_id!r} is not the id of a prediction.") from None


def _print_answer(answer: LoggedAnswer, console: Console) -> None:
    miles = "no distance" if answer.distance_miles is None else f"{answer.distance_miles:g} miles"
    facts = {
        "asked": f"{answer.asked_at:%Y-%m-%d %H:%M:%S %Z}",
        "trip": f"zone {answer.pickup_zone} to {answer.dropoff_zone}, {answer.fleet}, {miles}, "
        f"pickup {answer.pickup_at:%Y-%m-%d %H:%M} in New York",
        "answer": f"{answer.duration_minutes:.2f} minutes, {answer.level:.0%} between {answer.low_minutes:.2f} and "
        f"{answer.high_minutes:.2f}",
        "model": answer.model_version,
        "live state": "none" if answer.live_position is None else f"after outcome {answer.live_position}",
        "outcome": "none" if answer.real_minutes is None else _outcome(answer),
    }
    for name, fact in facts.items():
        console.print(f"[bold]{name:<11}[/]{fact}", highlight=False, soft_wrap=True)


def _outcome(answer: LoggedAnswer) -> str:
    counts = (
        "counts" if answer.counted else f"does not count ({answer.implausible_reason or 'account not vouched for'})"
    )
    return f"{answer.real_minutes:.2f} minutes, {counts}"


def _print_training(manifest: Manifest, console: Console) -> None:
    table = Table("trained on", "fleet", "trips", "SHA-256 of the file", "silver version", box=None, pad_edge=False)
    for month in manifest.training:
        table.add_row(
            month.month,
            month.fleet,
            f"{month.trips:,}",
            month.bronze_sha256 or "unknown",
            month.silver_version or "unknown",
        )
    console.print(table)


def _print_contributions(contributions: Contributions, console: Console) -> None:
    table = Table("minutes", "because of", box=None, pad_edge=False)
    for name, minutes in vars(contributions).items():
        table.add_row(f"{minutes:+.2f}", name.replace("_", " "))
    console.print(table)


def _print_recomputed(again: RecomputedAnswer, console: Console) -> None:
    console.print(
        f"[bold]recomputed[/] {again.duration_minutes:.2f} minutes, between {again.low_minutes:.2f} and "
        f"{again.high_minutes:.2f}: {'identical' if again.identical else 'not identical'}",
        highlight=False,
        soft_wrap=True,
    )
    if not again.identical:
        raise LogitrackError("The recomputed numbers differ from those that were answered.")
