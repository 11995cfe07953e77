"""`logitrack replay`: what the live correction would have answered in past months, without HTTP and without Dagster."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Column, Table

from logitrack_assets.commands.models import champion_version, open_registry
from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.dataset import TripDataset, silver_trips
from logitrack_assets.eta.live.replay import replay_trips, summarise_replay
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake
from logitrack_assets.settings import Settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.ingest import ingest_file
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.source import Source

_THIN_BUCKETS = 1_000_000


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed.

    Attributes:
        months: `YYYY-MM`, ascending.
        fleets: Fleets whose trips are replayed.
        thin: Share of the trips that are replayed, chosen by their hash; 1 for all.
        late_minutes: Minutes between the end of a ride and its report.
        liars: Share of the outcomes that one lying account among five reports; 0 for honest ones only.
        version: The version that answers; None for the champion.
    """

    months: Sequence[str]
    fleets: Sequence[str]
    thin: float
    late_minutes: float
    liars: float
    version: str | None


def replay_months(settings: Settings, options: ReplayOptions, output: Path, console: Console) -> None:
    """Replay months of the configured source, print a summary and write all figures as JSON.

    The files are fetched and cleaned as for the lake, in a temporary one: no model is trained on them.

    Raises:
        LogitrackError: There is no such version, or the source has not published a month.
    """
    models = open_registry(settings)
    predictor = models.load(options.version or champion_version(models))
    trained = predictor.manifest.trained_through
    if options.months[0] <= trained:
        console.print(f"[yellow]{predictor.version} was trained through {trained}: it has seen these trips.[/]")

    def report(line: str) -> None:
        console.print(line, style="dim", highlight=False, markup=False)

    with tempfile.TemporaryDirectory(prefix="replay-", dir=settings.home) as folder:
        trips = _fetch_trips(settings, options, Path(folder), report)
    if not len(trips):
        raise LogitrackError("There is no trip to replay.", hint="Choose other months, or a larger --thin.")
    replay = replay_trips(
        predictor,
        trips.batch,
        trips.minutes,
        late_minutes=options.late_minutes,
        liars=options.liars,
        report=report,
    )
    figures = {
        "model_version": predictor.version,
        "trained_through": trained,
        "months": list(options.months),
        "fleets": list(options.fleets),
        "thin": options.thin,
        "late_minutes": options.late_minutes,
        "liars": options.liars,
        "trips": len(trips),
        **summarise_replay(replay),
    }
    output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for variant in Variant:
        console.print(_summary_table(variant, figures["variants"][variant.value]))
    console.print(f"All figures: {output}", highlight=False, soft_wrap=True)


def _fetch_trips(settings: Settings, options: ReplayOptions, folder: Path, report: Any) -> TripDataset:
    """Return the valid trips of the months."""
    lake, source = Lake(folder), Source(settings.source_url, report=report)
    for month in options.months:
        for fleet in options.fleets:
            if ingest_file(lake, source, fleet, month, report).receipt is None:
                raise LogitrackError(
                    f"{fleet} {month} is not published at {settings.source_url}.",
                    hint="Choose other months or fleets.",
                )
    session = SparkResource.from_settings(settings).spark_session
    for month in options.months:
        report(f"{month}: {clean_month(session, lake, month).silver_rows:,} valid trips")
    trips = silver_trips(session, [lake.silver(month) for month in options.months], options.fleets)
    if options.thin < 1:
        trips = trips.where(F.pmod("row", F.lit(_THIN_BUCKETS)) < int(options.thin * _THIN_BUCKETS))
    return TripDataset.from_arrow(trips.toArrow())


def _summary_table(variant: Variant, figures: dict[str, Any]) -> Table:
    """Return the errors of each month and of all, static beside live."""
    table = Table(
        Column(variant.label),
        *(Column(name, justify="right") for name in ("trips", "MAE static", "live", "RMSE static", "live")),
        *(Column(name, justify="right") for name in ("coverage static", "live", "interval score static", "live")),
        box=None,
        pad_edge=False,
    )
    for row in [*figures["by_month"], {"month": "all", **figures["overall"]}]:
        static, live = row["static"], row["live"]
        table.add_row(
            row["month"],
            f"{row['trips']:,}",
            f"{static['mae_minutes']:.3f}",
            f"{live['mae_minutes']:.3f}",
            f"{static['rmse_minutes']:.3f}",
            f"{live['rmse_minutes']:.3f}",
            f"{static['coverage']:.1%}",
            f"{live['coverage']:.1%}",
            f"{static['interval_score']:.2f}",
            f"{live['interval_score']:.2f}",
        )
    outside = figures["days_outside"]
    table.caption = (
        f"Days whose coverage is more than 4 points off: {outside['static']} static, {outside['live']} live, "
        f"of {figures['days']}."
    )
    table.caption_justify = "left"
    return table
