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
from logitrack_assets.trips import metadata as metadata
from logitrack_assets.trips.errors import SparkConnectionLostError
from logitrack_assets.trips.ingest import NOT_PUBLISHED, IngestResult, ingest_file
from logitrack_assets.trips.manifest import MonthManifest, bronze_version, load_manifest, version_of
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.rules import RULES_VERSION
from logitrack_assets.trips.source import Source, SourceUnavailableError
from logitrack_assets.trips.warehouse_load import load_sample, load_stats
from logitrack_assets.warehouse import Warehouse, WarehouseError

BRONZE, SILVER, REJECTED = "bronze_trips", "silver_trips", "rejected_trips"
SAMPLE, STATS = "analytics_sample", "trip_stats"
CODE_VERSION = f"rules-{RULES_VERSION}"
RETRIES, RETRY_SECONDS = 2, 10
MAX_MONTHS_PER_RUN = 24


class NotPublishedError(LogitrackError):
    """The source has no file of a month for any fleet."""


class TripsConfig(Config):
    """What can be turned for one run."""

    sample_rows: int | None = Field(
        None, ge=1, le=1_000_000, description="Trips of each month and fleet in analytics_sample; else the setting."
    )
    fleets: list[str] = Field([], description="Fleets to ask the source for, `yellow` or `green`; else the setting.")


@dataclass(frozen=True)
class IngestContext:
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
class AssetResult:
    """What one asset came to in one month: its metadata and what its data depends on."""

    metadata: dict[str, Any]
    data_version: str


@dataclass
class RunProgress:
    """What became of each month of a run: outcomes by asset, or the error that stopped it."""

    done: dict[str, dict[str, AssetResult]] = field(default_factory=dict)
    failed: dict[str, LogitrackError] = field(default_factory=dict)


def materialize_month(context_: IngestContext, month: str) -> dict[str, AssetResult]:
    """Makes the selected assets of one month; returns what each came to. Raises a LogitrackError."""
    outcomes: dict[str, AssetResult] = {}
    lake, wanted = context_.lake, context_.selected
    if BRONZE in wanted:
        started = time.monotonic()
        results = _bring_fleets(context_, month)
        outcomes[BRONZE] = AssetResult(
            {**metadata.bronze_metadata(results, context_.source.base), **metadata.elapsed_metadata(started)},
            bronze_version(lake, month),
        )
    known: MonthManifest | None = None
    if wanted & {SILVER, REJECTED}:
        started = time.monotonic()
        known = clean_month(context_.spark.session, lake, month)
        seconds = metadata.elapsed_metadata(started)
        version = _clean_version(known)
        outcomes[SILVER] = AssetResult({**metadata.silver_metadata(known, lake), **seconds}, version)
        outcomes[REJECTED] = AssetResult({**metadata.rejected_metadata(known, lake), **seconds}, version)
    if wanted & {SAMPLE, STATS}:
        known = known or load_manifest(lake, month)
        warehouse, rows = context_.warehouse(), context_.sample_rows
    if SAMPLE in wanted and known is not None:
        started = time.monotonic()
        table = load_sample(context_.spark.session, lake, warehouse, month, rows)
        version = version_of(_clean_version(known), rows)
        outcomes[SAMPLE] = AssetResult(
            {**metadata.sample_metadata(table, rows), **metadata.elapsed_metadata(started)}, version
        )
    if STATS in wanted and known is not None:
        started = time.monotonic()
        counts = load_stats(context_.spark.session, lake, warehouse, month, rows)
        outcomes[STATS] = AssetResult(
            {**metadata.stats_metadata(counts, known), **metadata.elapsed_metadata(started)}, _clean_version(known)
        )
    return {name: outcome for name, outcome in outcomes.items() if name in wanted}


def materialize_months(context_: IngestContext, months: Sequence[str], report: Any) -> RunProgress:
    """Makes month after month; a bad one does not keep the next from being made."""
    progress = RunProgress()
    for number, month in enumerate(months, start=1):
        started = time.monotonic()
        try:
            progress.done[month] = materialize_month(context_, month)
        except LogitrackError as error:
            progress.failed[month] = error
            report(f"{month} ({number} of {len(months)}) failed: {error}")
            if isinstance(error, (SourceUnavailableError, WarehouseError, SparkConnectionLostError)):
                break  # the next month would fail for the same reason, only later
        else:
            report(f"{month} ({number} of {len(months)}) done in {time.monotonic() - started:.1f} s")
    if progress.done and SILVER in context_.selected:
        newest = progress.done[max(progress.done)]
        beside, picture = metadata.months_overview(context_.lake)
        newest[SILVER].metadata.update(beside)
        if REJECTED in newest:
            newest[REJECTED].metadata.update(picture)
    return progress


def _bring_fleets(context_: IngestContext, month: str) -> list[IngestResult]:
    results = [
        ingest_file(context_.lake, context_.source, fleet, month, context_.source.report) for fleet in context_.fleets
    ]
    if all(result.outcome == NOT_PUBLISHED for result in results):
        raise NotPublishedError(
            f"{month} is not published (yet): no file of {' or '.join(context_.fleets)} at {context_.source.base}."
        )
    return results


def _clean_version(known: MonthManifest) -> str:
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
        **{"dagster/column_schema": metadata.column_schema("silver")},
    ),
    _spec(
        REJECTED,
        [BRONZE],
        "The rows that are no trips, each with the first rule it broke. Bronze is silver and rejected, to the row.",
        {"pyspark", "parquet"},
        **{"dagster/column_schema": metadata.column_schema("rejected")},
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
    backfill_policy=BackfillPolicy.multi_run(MAX_MONTHS_PER_RUN),
    pool="spark",
)
def trips(context: AssetExecutionContext, config: TripsConfig, spark: SparkResource) -> Iterator[MaterializeResult]:
    """Months of trips, from the source to the warehouse."""
    settings = get_settings()
    lake = Lake(settings.home)
    for name in lake.recover():
        context.log.info(f"{name}: finished what an interrupted run had begun")
    context_ = IngestContext(
        spark=spark,
        lake=lake,
        source=Source(settings.source_url, report=context.log.info),
        fleets=config.fleets or settings.fleets,
        sample_rows=config.sample_rows or settings.sample_rows_per_month,
        selected=frozenset(key.to_user_string() for key in context.selected_asset_keys),
        settings=settings,
    )
    progress = materialize_months(context_, context.partition_keys, context.log.info)
    if progress.failed:
        _record(context, progress)
        raise _verdict(context, progress)
    yield from _results(context, progress)
    if len(progress.done) > 1:
        # Dagster has just recorded the range under one data version; downstream needs each month's own.
        _record(context, progress)


def _results(context: AssetExecutionContext, progress: RunProgress) -> Iterator[MaterializeResult]:
    keys = [spec.key for spec in SPECS if spec.key in context.selected_asset_keys]
    for key in keys:
        name = key.to_user_string()
        for month, outcomes in progress.done.items():
            context.add_asset_metadata(outcomes[name].metadata, asset_key=key, partition_key=month)
        versions = [outcomes[name].data_version for outcomes in progress.done.values()]
        version = versions[0] if len(versions) == 1 else version_of(*versions)
        yield MaterializeResult(asset_key=key, data_version=DataVersion(version))


def _record(context: AssetExecutionContext, progress: RunProgress) -> None:
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


def _verdict(context: AssetExecutionContext, progress: RunProgress) -> Exception:
    """What to raise for months that failed: another try for what may mend itself, a clear failure for the rest."""
    errors = progress.failed
    passing = all(isinstance(error, (SourceUnavailableError, WarehouseError)) for error in errors.values())
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
