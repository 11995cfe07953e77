"""Assets of the trips. Each month is processed from the source to the warehouse before the next one begins.

One operation materialises all five assets, so that a range of months is one Spark application in which a bad month
affects no other: the good ones are published, loaded and recorded, and then the run fails with the names of the bad
ones. Each asset can be selected alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
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

from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import MONTHS
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips import metadata
from logitrack_assets.trips.errors import SparkConnectionLostError
from logitrack_assets.trips.ingest import NOT_PUBLISHED, ingest_file
from logitrack_assets.trips.manifest import MonthManifest, bronze_version, load_manifest, version_of
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.rules import RULES_VERSION
from logitrack_assets.trips.source import Source, SourceUnavailableError
from logitrack_assets.trips.warehouse_load import load_sample, load_stats
from logitrack_assets.warehouse import WarehouseError

BRONZE, SILVER, REJECTED = "bronze_trips", "silver_trips", "rejected_trips"
SAMPLE, STATS = "analytics_sample", "trip_stats"
CODE_VERSION = f"rules-{RULES_VERSION}"
MAX_RETRIES, RETRY_SECONDS = 2, 10
MAX_MONTHS_PER_RUN = 24


class NotPublishedError(LogitrackError):
    """The source has no file of a month for any fleet."""


class TripsConfig(Config):
    """Options of one run."""

    sample_rows: int | None = Field(
        None, ge=1, le=1_000_000, description="Trips of each month and fleet in analytics_sample; the setting if empty."
    )
    fleets: list[str] = Field([], description="Fleets to ingest, `yellow` or `green`; the setting if empty.")


@dataclass(frozen=True)
class IngestContext:
    """What processing needs besides the month.

    Attributes:
        spark: Started when a step needs it.
        lake: Where files are published.
        warehouse: Opened when a table is loaded.
        source: Where files come from.
        fleets: Fleets to ingest.
        sample_rows: Trips of a month and fleet in analytics_sample.
        selected: Names of the assets to materialise.
    """

    spark: SparkResource
    lake: Lake
    warehouse: WarehouseResource
    source: Source
    fleets: Sequence[str]
    sample_rows: int
    selected: frozenset[str]


@dataclass
class AssetResult:
    """Metadata and data version of one asset in one month."""

    metadata: dict[str, Any]
    data_version: str


@dataclass
class RunProgress:
    """Results of a run: by month and asset, or the error of a month that failed."""

    done: dict[str, dict[str, AssetResult]] = field(default_factory=dict)
    failed: dict[str, LogitrackError] = field(default_factory=dict)


def materialize_month(ingest: IngestContext, month: str) -> dict[str, AssetResult]:
    """Materialise the selected assets of one month and return their results by asset.

    Raises:
        LogitrackError: A step failed; what was published before it stays.
    """
    results: dict[str, AssetResult] = {}
    if BRONZE in ingest.selected:
        results |= _timed(lambda: _ingest_bronze(ingest, month))
    manifest: MonthManifest | None = None
    if ingest.selected & {SILVER, REJECTED}:
        started = time.monotonic()
        manifest = clean_month(ingest.spark.spark_session, ingest.lake, month)
        results |= _add_seconds(_clean_results(ingest.lake, manifest), started)
    if ingest.selected & {SAMPLE, STATS}:
        loaded = manifest or load_manifest(ingest.lake, month)
        if SAMPLE in ingest.selected:
            results |= _timed(lambda: _load_sample(ingest, loaded))
        if STATS in ingest.selected:
            results |= _timed(lambda: _load_stats(ingest, loaded))
    return {name: result for name, result in results.items() if name in ingest.selected}


def _timed(step: Callable[[], dict[str, AssetResult]]) -> dict[str, AssetResult]:
    started = time.monotonic()
    return _add_seconds(step(), started)


def _add_seconds(results: dict[str, AssetResult], started: float) -> dict[str, AssetResult]:
    for result in results.values():
        result.metadata.update(metadata.elapsed_metadata(started))
    return results


def _ingest_bronze(ingest: IngestContext, month: str) -> dict[str, AssetResult]:
    source = ingest.source
    files = [ingest_file(ingest.lake, source, fleet, month, source.report) for fleet in ingest.fleets]
    if all(file.outcome == NOT_PUBLISHED for file in files):
        raise NotPublishedError(
            f"{month} is not published (yet): no file of {' or '.join(ingest.fleets)} at {source.base}."
        )
    return {BRONZE: AssetResult(metadata.bronze_metadata(files, source.base), bronze_version(ingest.lake, month))}


def _clean_results(lake: Lake, manifest: MonthManifest) -> dict[str, AssetResult]:
    version = _data_version(manifest)
    return {  # the metadata hold the version of the month, on which the checks act
        SILVER: AssetResult(metadata.silver_metadata(manifest, lake), version),
        REJECTED: AssetResult(metadata.rejected_metadata(manifest, lake), version),
    }


def _load_sample(ingest: IngestContext, manifest: MonthManifest) -> dict[str, AssetResult]:
    rows = ingest.sample_rows
    table = load_sample(ingest.spark.spark_session, ingest.lake, ingest.warehouse.open(), manifest.month, rows)
    return {SAMPLE: AssetResult(metadata.sample_metadata(table, rows), version_of(_data_version(manifest), rows))}


def _load_stats(ingest: IngestContext, manifest: MonthManifest) -> dict[str, AssetResult]:
    counts = load_stats(
        ingest.spark.spark_session, ingest.lake, ingest.warehouse.open(), manifest.month, ingest.sample_rows
    )
    return {STATS: AssetResult(metadata.stats_metadata(counts, manifest), _data_version(manifest))}


def materialize_months(ingest: IngestContext, months: Sequence[str], report: Callable[[str], None]) -> RunProgress:
    """Materialise month after month and return the results; a failed month does not stop the next one.

    An error that every later month would meet as well (source, warehouse or Spark unavailable) ends the loop.
    """
    progress = RunProgress()
    for number, month in enumerate(months, start=1):
        started = time.monotonic()
        try:
            progress.done[month] = materialize_month(ingest, month)
        except LogitrackError as error:
            progress.failed[month] = error
            report(f"{month} ({number} of {len(months)}) failed: {error}")
            if isinstance(error, (SourceUnavailableError, WarehouseError, SparkConnectionLostError)):
                break
        else:
            report(f"{month} ({number} of {len(months)}) done in {time.monotonic() - started:.1f} s")
    _add_overview(ingest, progress)
    return progress


def _add_overview(ingest: IngestContext, progress: RunProgress) -> None:
    """Add the comparison of all months to the metadata of the newest one."""
    if not progress.done or SILVER not in ingest.selected:
        return
    newest = progress.done[max(progress.done)]
    comparison, plot = metadata.months_overview(ingest.lake)
    newest[SILVER].metadata.update(comparison)
    if REJECTED in newest:
        newest[REJECTED].metadata.update(plot)


def _data_version(manifest: MonthManifest) -> str:
    """Return what identifies the content: the rules and the published files."""
    return version_of(RULES_VERSION, *(f"{fleet}:{digest}" for fleet, digest in sorted(manifest.digests.items())))


def _spec(name: str, deps: Sequence[str], description: str, kinds: set[str], **entries: Any) -> AssetSpec:
    return AssetSpec(
        name,
        deps=list(deps),
        group_name="trips",
        description=description,
        kinds=kinds,
        owners=["team:data"],
        code_version=CODE_VERSION,
        tags={"domain": "trips"},
        metadata=entries,
        partitions_def=MONTHS,
        skippable=True,
    )


SPECS = [
    _spec(
        BRONZE,
        [],
        "The month's trip files, byte for byte as the TLC published them, each with a receipt. An unchanged file is "
        "not downloaded again; a broken one never replaces a good one.",
        {"parquet"},
    ),
    _spec(
        SILVER,
        [BRONZE],
        "The month's valid trips of all fleets, in one schema for all generations of files; with duration, hour, ISO "
        "weekday, holiday and boroughs. Times are New York's wall-clock time.",
        {"pyspark", "parquet"},
        **{"dagster/column_schema": metadata.column_schema("silver")},
    ),
    _spec(
        REJECTED,
        [BRONZE],
        "The rows that are not valid trips, each with the first rule it violates. Silver and rejected rows add up to "
        "bronze.",
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
)
def trips(
    context: AssetExecutionContext,
    config: TripsConfig,
    spark: SparkResource,
    lake: LakeResource,
    warehouse: WarehouseResource,
    source: TlcSource,
) -> Iterator[MaterializeResult[None]]:
    """Months of trips, from the source to the warehouse."""
    ingest = IngestContext(
        spark=spark,
        lake=lake.open(context.log.info),
        warehouse=warehouse,
        source=source.open(context.log.info),
        fleets=config.fleets or source.fleets,
        sample_rows=config.sample_rows or source.sample_rows_per_month,
        selected=frozenset(key.to_user_string() for key in context.selected_asset_keys),
    )
    progress = materialize_months(ingest, context.partition_keys, context.log.info)
    if progress.failed:
        _record_months(context, progress)
        raise _failure(context, progress)
    yield from _results(context, progress)
    if len(progress.done) > 1:
        # Dagster has just recorded the range under one data version; downstream assets need each month's own.
        _record_months(context, progress)


def _results(context: AssetExecutionContext, progress: RunProgress) -> Iterator[MaterializeResult[None]]:
    keys = [spec.key for spec in SPECS if spec.key in context.selected_asset_keys]
    for key in keys:
        name = key.to_user_string()
        for month, results in progress.done.items():
            context.add_asset_metadata(results[name].metadata, asset_key=key, partition_key=month)
        versions = [results[name].data_version for results in progress.done.values()]
        version = versions[0] if len(versions) == 1 else version_of(*versions)
        yield MaterializeResult(asset_key=key, data_version=DataVersion(version))


def _record_months(context: AssetExecutionContext, progress: RunProgress) -> None:
    """Record each successful month as a materialisation of its own, with its own data version."""
    for month, results in progress.done.items():
        for name, result in results.items():
            tags = {DATA_VERSION_TAG: result.data_version, CODE_VERSION_TAG: CODE_VERSION}
            for parent in _parents(name):
                if parent in results:
                    tags[f"dagster/input_data_version/{parent}"] = results[parent].data_version
            context.log_event(
                AssetMaterialization(AssetKey(name), partition=month, metadata=result.metadata, tags=tags)
            )


def _parents(name: str) -> list[str]:
    return [dep.asset_key.to_user_string() for spec in SPECS if spec.key == AssetKey(name) for dep in spec.deps]


def _failure(context: AssetExecutionContext, progress: RunProgress) -> Exception:
    """Return what to raise for failed months: a retry where time can help, else a failure that names them."""
    errors = progress.failed
    transient = all(isinstance(error, (SourceUnavailableError, WarehouseError)) for error in errors.values())
    if transient and context.retry_number < MAX_RETRIES:
        context.log.warning("; ".join(map(str, errors.values())))
        return RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_SECONDS)
    return Failure(
        description=_failure_text(progress, months=len(context.partition_keys)),
        metadata={month: str(error) for month, error in errors.items()},
        allow_retries=False,
    )


def _failure_text(progress: RunProgress, months: int) -> str:
    done, failed = len(progress.done), len(progress.failed)
    skipped = months - done - failed
    others = f" {done} other months are published." if done else ""
    others += f" {skipped} months were not tried." if skipped else ""
    if failed == 1 and not others:
        return str(next(iter(progress.failed.values())))
    return " ".join(f"[{month}] {error}" for month, error in progress.failed.items()) + others


assets = [trips]
