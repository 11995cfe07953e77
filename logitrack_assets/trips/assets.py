"""The trips as Dagster assets: thin. Each month goes from the source to the warehouse before the next one begins.

All five assets are made by one operation, so that a range of months is one Spark application in which a bad month
stops nobody but itself: the others are published, loaded and recorded, and only then does the run fail, naming the
bad ones. Any of the assets can be selected alone.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    BackfillPolicy,
    Config,
    DataVersion,
    Failure,
    MaterializeResult,
    RetryRequested,
    multi_asset,
)
from dagster._core.definitions.data_version import CODE_VERSION_TAG, DATA_VERSION_TAG
from pydantic import Field

from logitrack_assets.database import database_url, migrate
from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import MONTHS
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips import metadata as say
from logitrack_assets.trips.ingest import NOT_PUBLISHED, Arrival, bring
from logitrack_assets.trips.month import (
    Month,
    SparkGone,
    bronze_version,
    clean_month,
    known_month,
    load_sample,
    load_stats,
    version_of,
)
from logitrack_assets.trips.rules import RULES_VERSION
from logitrack_assets.trips.source import Source, SourceDown
from logitrack_assets.warehouse import Warehouse, WarehouseError

BRONZE, SILVER, REJECTED = "bronze_trips", "silver_trips", "rejected_trips"
SAMPLE, STATS = "analytics_sample", "trip_stats"
CODE_VERSION = f"rules-{RULES_VERSION}"
RETRIES, RETRY_SECONDS = 2, 10
MOST_MONTHS_IN_A_RUN = 24


class NotPublishedError(LogitrackError):
    """The source has no file of a month for any fleet."""


class TripsConfig(Config):
    """What can be turned for one run."""

    sample_rows: int | None = Field(
        None, ge=1, le=1_000_000, description="Trips of each month and fleet in analytics_sample; else the setting."
    )
    fleets: list[str] = Field([], description="Fleets to ask the source for, `yellow` or `green`; else the setting.")


@dataclass(frozen=True)
class Workshop:
    """What the work on months needs besides the month itself."""

    spark: SparkResource
    lake: Lake
    source: Source
    fleets: Sequence[str]
    sample_rows: int
    selected: frozenset[str]
    settings: Settings

    def warehouse(self) -> Warehouse:
        """The warehouse, its schema up to date."""
        url = database_url(self.settings)
        migrate(url)
        return Warehouse(url)


@dataclass
class Outcome:
    """What one asset came to in one month: its metadata and what its data depends on."""

    metadata: dict[str, Any]
    data_version: str


@dataclass
class Progress:
    """What became of each month of a run: outcomes by asset, or the error that stopped it."""

    done: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    failed: dict[str, LogitrackError] = field(default_factory=dict)


def make_month(workshop: Workshop, month: str) -> dict[str, Outcome]:
    """Makes the selected assets of one month; returns what each came to. Raises a LogitrackError."""
    outcomes: dict[str, Outcome] = {}
    lake, wanted = workshop.lake, workshop.selected
    if BRONZE in wanted:
        started = time.monotonic()
        arrivals = _bring_fleets(workshop, month)
        outcomes[BRONZE] = Outcome(
            {**say.of_bronze(arrivals, workshop.source.base), **say.took(started)}, bronze_version(lake, month)
        )
    known: Month | None = None
    if wanted & {SILVER, REJECTED}:
        started = time.monotonic()
        known = clean_month(workshop.spark.session, lake, month)
        seconds = say.took(started)
        version = _clean_version(known)
        outcomes[SILVER] = Outcome({**say.of_silver(known, lake), **seconds}, version)
        outcomes[REJECTED] = Outcome({**say.of_rejected(known, lake), **seconds}, version)
    if wanted & {SAMPLE, STATS}:
        known = known or known_month(lake, month)
        warehouse, rows = workshop.warehouse(), workshop.sample_rows
    if SAMPLE in wanted and known is not None:
        started = time.monotonic()
        table = load_sample(workshop.spark.session, lake, warehouse, month, rows)
        version = version_of(_clean_version(known), rows)
        outcomes[SAMPLE] = Outcome({**say.of_sample(table, rows), **say.took(started)}, version)
    if STATS in wanted and known is not None:
        started = time.monotonic()
        counts = load_stats(workshop.spark.session, lake, warehouse, month, rows)
        outcomes[STATS] = Outcome({**say.of_stats(counts, known), **say.took(started)}, _clean_version(known))
    return {name: outcome for name, outcome in outcomes.items() if name in wanted}


def make_months(workshop: Workshop, months: Sequence[str], report: Any) -> Progress:
    """Makes month after month; a bad one does not keep the next from being made."""
    progress = Progress()
    for number, month in enumerate(months, start=1):
        started = time.monotonic()
        try:
            progress.done[month] = make_month(workshop, month)
        except LogitrackError as error:
            progress.failed[month] = error
            report(f"{month} ({number} of {len(months)}) failed: {error}")
            if isinstance(error, (SourceDown, WarehouseError, SparkGone)):
                break  # the next month would fail for the same reason, only later
        else:
            report(f"{month} ({number} of {len(months)}) done in {time.monotonic() - started:.1f} s")
    if progress.done and SILVER in workshop.selected:
        newest = progress.done[max(progress.done)]
        beside, picture = say.over_months(workshop.lake)
        newest[SILVER].metadata.update(beside)
        if REJECTED in newest:
            newest[REJECTED].metadata.update(picture)
    return progress


def _bring_fleets(workshop: Workshop, month: str) -> list[Arrival]:
    arrivals = [
        bring(workshop.lake, workshop.source, fleet, month, workshop.source.report) for fleet in workshop.fleets
    ]
    if all(arrival.outcome == NOT_PUBLISHED for arrival in arrivals):
        raise NotPublishedError(
            f"{month} is not published (yet): no file of {' or '.join(workshop.fleets)} at {workshop.source.base}."
        )
    return arrivals


def _clean_version(known: Month) -> str:
    return version_of(RULES_VERSION, *(f"{fleet}:{digest}" for fleet, digest in sorted(known.digests.items())))


def _spec(name: str, deps: Sequence[str], description: str, kinds: set[str], **metadata: Any) -> AssetSpec:
    return AssetSpec(
        name,
        deps=list(deps),
        group_name="trips",
        description=description,
        kinds=kinds,
        owners=["team:data"],
        code_version=CODE_VERSION,
        tags={"domain": "trips"},
        metadata=metadata,
        partitions_def=MONTHS,
        skippable=True,
    )


SPECS = [
    _spec(
        BRONZE,
        [],
        "The month's trip files, byte for byte as the TLC published them, each with a receipt. A file that has not "
        "changed at the source is not downloaded again; one that is broken never takes the place of a good one.",
        {"parquet"},
    ),
    _spec(
        SILVER,
        [BRONZE],
        "The month's trips that count, all fleets, in one schema whatever the files' generation; with duration, hour, "
        "ISO weekday, holiday and boroughs. Wall-clock times of New York, never shifted.",
        {"pyspark", "parquet"},
        **{"dagster/column_schema": say.column_schema("silver")},
    ),
    _spec(
        REJECTED,
        [BRONZE],
        "The rows that are no trips, each with the first rule it broke. Bronze is silver and rejected, to the row.",
        {"pyspark", "parquet"},
        **{"dagster/column_schema": say.column_schema("rejected")},
    ),
    _spec(
        SAMPLE,
        [SILVER],
        "A sample of the month's trips in PostgreSQL, chosen by hash: the same trips on every run.",
        {"pyspark", "postgres"},
        **{"dagster/table_name": "warehouse.analytics_sample"},
    ),
    _spec(
        STATS,
        [SILVER],
        "Counts, sums and duration sketches (quantiles to 1%) over all trips of the month, by hour, zone, pair of "
        "zones and payment; and the month's rejections by rule. In PostgreSQL.",
        {"pyspark", "postgres"},
        **{"dagster/table_name": "warehouse.trip_stats_hour"},
    ),
]


@multi_asset(
    name="trips",
    specs=SPECS,
    can_subset=True,
    backfill_policy=BackfillPolicy.multi_run(MOST_MONTHS_IN_A_RUN),
    pool="spark",
)
def trips(context: AssetExecutionContext, config: TripsConfig, spark: SparkResource) -> Iterator[MaterializeResult]:
    """Months of trips, from the source to the warehouse."""
    settings = get_settings()
    lake = Lake(settings.home)
    for name in lake.recover():
        context.log.info(f"{name}: finished what an interrupted run had begun")
    workshop = Workshop(
        spark=spark,
        lake=lake,
        source=Source(settings.source_url, report=context.log.info),
        fleets=config.fleets or settings.fleets,
        sample_rows=config.sample_rows or settings.sample_rows_per_month,
        selected=frozenset(key.to_user_string() for key in context.selected_asset_keys),
        settings=settings,
    )
    progress = make_months(workshop, context.partition_keys, context.log.info)
    if progress.failed:
        _record(context, progress)
        raise _verdict(context, progress)
    yield from _results(context, progress)
    if len(progress.done) > 1:
        # Dagster has just recorded the range under one data version; downstream needs each month's own.
        _record(context, progress)


def _results(context: AssetExecutionContext, progress: Progress) -> Iterator[MaterializeResult]:
    keys = [spec.key for spec in SPECS if spec.key in context.selected_asset_keys]
    for key in keys:
        name = key.to_user_string()
        for month, outcomes in progress.done.items():
            context.add_asset_metadata(outcomes[name].metadata, asset_key=key, partition_key=month)
        versions = [outcomes[name].data_version for outcomes in progress.done.values()]
        version = versions[0] if len(versions) == 1 else version_of(*versions)
        yield MaterializeResult(asset_key=key, data_version=DataVersion(version))


def _record(context: AssetExecutionContext, progress: Progress) -> None:
    """Records each good month by itself, with its own data version."""
    for month, outcomes in progress.done.items():
        for name, outcome in outcomes.items():
            tags = {DATA_VERSION_TAG: outcome.data_version, CODE_VERSION_TAG: CODE_VERSION}
            for parent in (key for spec in SPECS if spec.key == AssetKey(name) for key in spec.deps):
                upstream = outcomes.get(parent.asset_key.to_user_string())
                if upstream is not None:
                    tags[f"dagster/input_data_version/{parent.asset_key.to_user_string()}"] = upstream.data_version
            context.log_event(
                AssetMaterialization(AssetKey(name), partition=month, metadata=outcome.metadata, tags=tags)
            )


def _verdict(context: AssetExecutionContext, progress: Progress) -> Exception:
    """What to raise for months that failed: another try for what may mend itself, a clear failure for the rest."""
    errors = progress.failed
    passing = all(isinstance(error, (SourceDown, WarehouseError)) for error in errors.values())
    if passing and context.retry_number < RETRIES:
        context.log.warning("; ".join(map(str, errors.values())))
        return RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_SECONDS)
    good = f" {len(progress.done)} other months are published." if progress.done else ""
    untried = len(context.partition_keys) - len(progress.done) - len(errors)
    good += f" {untried} months were not tried." if untried else ""
    listed = " ".join(
        f"[{month}] {error}" if len(errors) > 1 or good else str(error) for month, error in errors.items()
    )
    return Failure(
        description=f"{listed}{good}",
        metadata={month: str(error) for month, error in errors.items()},
        allow_retries=False,
    )


assets = [trips]
