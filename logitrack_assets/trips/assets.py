"""Assets of the trips. Each month is processed from the source to the warehouse before the next one begins.

One operation materialises all five assets, so that a range of months is one Spark application in which a bad month
affects no other. Each month is recorded and checked right after it is published. A bad month is recorded with its
reason, and the check `month_complete` fails the run after the good months are done; in a run without that check the
operation fails. Each asset can be selected alone.
"""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    BackfillPolicy,
    Config,
    Failure,
    MaterializeResult,
    Output,
    RetryRequested,
    multi_asset,
)
from pydantic import Field

from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import (
    VERSION,
    RecordedMaterializations,
    output_without_event,
    record_error,
    record_month,
)
from logitrack_assets.partitions import MONTHS, months_of_run
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips import columns, metadata
from logitrack_assets.trips.asset_names import BRONZE, REJECTED, SAMPLE, SILVER, SOURCE, STATS
from logitrack_assets.trips.checks import (
    MONTH_CHECKS,
    MONTH_COMPLETE,
    CheckedStores,
    check_evaluation,
    describe_failure,
    evaluate_checks,
)
from logitrack_assets.trips.errors import SparkConnectionLostError
from logitrack_assets.trips.ingest import NOT_PUBLISHED, ingest_file
from logitrack_assets.trips.manifest import MonthManifest, bronze_version, load_manifest, version_of
from logitrack_assets.trips.month import clean_month
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.rules import RULES_VERSION
from logitrack_assets.trips.source import Source, SourceUnavailableError
from logitrack_assets.trips.verdicts import recorded_problems
from logitrack_assets.trips.warehouse_load import load_sample, load_stats
from logitrack_assets.warehouse import WarehouseError

CODE_VERSION = f"rules-{RULES_VERSION}"
MAX_RETRIES, RETRY_SECONDS = 2, 10
MAX_MONTHS_PER_RUN = 24
TRANSIENT_ERRORS = (SourceUnavailableError, WarehouseError)
"""Errors that pass with time, so that a retry can help."""
FATAL_ERRORS = (*TRANSIENT_ERRORS, SparkConnectionLostError)
"""Errors that every later month of the run would meet as well."""


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
    """State of a run.

    Attributes:
        done: Months of which every selected asset is recorded.
        failed: Reason by month that failed.
        fatal: The error that ended the loop over the months.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    fatal: LogitrackError | None = None


def materialize_month(ingest: IngestContext, month: str) -> Iterator[tuple[str, AssetResult]]:
    """Materialise the selected assets of one month, and yield each with its result, inputs first.

    Raises:
        LogitrackError: A step failed; what was published before it stays.
    """
    manifest: MonthManifest | None = None
    if BRONZE in ingest.selected:
        yield BRONZE, _ingest_bronze(ingest, month)
    if ingest.selected & {SILVER, REJECTED}:
        manifest, results = _clean(ingest, month)
        yield from ((name, result) for name, result in results.items() if name in ingest.selected)
    if SAMPLE in ingest.selected:
        yield SAMPLE, _load_sample(ingest, manifest or load_manifest(ingest.lake, month))
    if STATS in ingest.selected:
        yield STATS, _load_stats(ingest, manifest or load_manifest(ingest.lake, month))


def _ingest_bronze(ingest: IngestContext, month: str) -> AssetResult:
    source, started = ingest.source, time.monotonic()
    files = [ingest_file(ingest.lake, source, fleet, month, source.report) for fleet in ingest.fleets]
    if all(file.outcome == NOT_PUBLISHED for file in files):
        raise NotPublishedError(
            f"{month} is not published (yet): no file of {' or '.join(ingest.fleets)} at {source.base}."
        )
    elapsed = metadata.elapsed_metadata("download", started)
    return AssetResult(metadata.bronze_metadata(files, source.base) | elapsed, bronze_version(ingest.lake, month))


def _clean(ingest: IngestContext, month: str) -> tuple[MonthManifest, dict[str, AssetResult]]:
    """Clean a month; return its manifest, and the results of silver_trips and rejected_trips."""
    started = time.monotonic()
    manifest = clean_month(ingest.spark.spark_session, ingest.lake, month)
    elapsed = metadata.elapsed_metadata("clean", started)
    version = _data_version(manifest)
    comparison, plot = metadata.months_overview(ingest.lake)
    return manifest, {  # the metadata hold the version of the month, on which the checks act
        SILVER: AssetResult(metadata.silver_metadata(manifest, ingest.lake) | comparison | elapsed, version),
        REJECTED: AssetResult(metadata.rejected_metadata(manifest, ingest.lake) | plot, version),
    }


def _load_sample(ingest: IngestContext, manifest: MonthManifest) -> AssetResult:
    rows, started = ingest.sample_rows, time.monotonic()
    table = load_sample(ingest.spark.spark_session, ingest.lake, ingest.warehouse.open(), manifest.month, rows)
    elapsed = metadata.elapsed_metadata("sample", started)
    return AssetResult(metadata.sample_metadata(table, rows) | elapsed, version_of(_data_version(manifest), rows))


def _load_stats(ingest: IngestContext, manifest: MonthManifest) -> AssetResult:
    started = time.monotonic()
    counts = load_stats(
        ingest.spark.spark_session, ingest.lake, ingest.warehouse.open(), manifest.month, ingest.sample_rows
    )
    elapsed = metadata.elapsed_metadata("rollup", started)
    return AssetResult(metadata.stats_metadata(counts, manifest) | elapsed, _data_version(manifest))


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
        [SOURCE],
        "The month's trip files, byte for byte as the TLC published them, each with a receipt. An unchanged file is "
        "not downloaded again; a broken one never replaces a good one.",
        {"parquet"},
        **columns.newest_file_entries(),
    ),
    _spec(
        SILVER,
        [BRONZE],
        "The month's valid trips of all fleets, in one schema for all generations of files; with duration, hour, ISO "
        "weekday, holiday and boroughs. Times are New York's wall-clock time.",
        {"pyspark", "parquet"},
        **columns.SILVER_ENTRIES,
    ),
    _spec(
        REJECTED,
        [BRONZE],
        "The rows that are not valid trips, each with the first rule it violates. Silver and rejected rows add up to "
        "bronze.",
        {"pyspark", "parquet"},
        **columns.REJECTED_ENTRIES,
    ),
    _spec(
        SAMPLE,
        [SILVER],
        "A sample of the month's trips in PostgreSQL, chosen by hash: the same trips on every run.",
        {"pyspark", "postgres"},
        **columns.sample_entries(),
        **{"dagster/table_name": "warehouse.analytics_sample"},
    ),
    _spec(
        STATS,
        [SILVER],
        "Counts, sums and duration sketches (quantiles to 1%) over all trips of the month, by hour, zone, pair of "
        "zones and payment; and the month's rejections by rule. In PostgreSQL.",
        {"pyspark", "postgres"},
        **columns.rollup_entries(),
        **{"dagster/table_name": "warehouse.trip_stats_hour"},
    ),
]


@multi_asset(
    name="trips",
    specs=SPECS,
    check_specs=[check.spec for check in MONTH_CHECKS],
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
) -> Iterator[MaterializeResult[None] | Output[None]]:
    """Months of trips, from the source to the warehouse, and the checks of each month."""
    ingest = IngestContext(
        spark=spark,
        lake=lake.open(context.log.info),
        warehouse=warehouse,
        source=source.open(context.log.info),
        fleets=config.fleets or source.fleets,
        sample_rows=config.sample_rows or source.sample_rows_per_month,
        selected=frozenset(key.to_user_string() for key in context.selected_asset_keys),
    )
    progress = _process_months(context, ingest)
    recorded = RecordedMaterializations(context.instance, context.run.run_id)
    if progress.fatal is not None or (progress.failed and not progress.done):
        raise _failure(context, progress)
    for spec in SPECS:
        if spec.key in context.selected_asset_keys:
            yield output_without_event(spec.key)
    for check in MONTH_CHECKS:
        if check.key in context.selected_asset_check_keys:
            yield Output(None, output_name=check.spec.get_python_identifier())
    if progress.failed and not recorded.plans_check(SILVER, MONTH_COMPLETE.name):
        raise _failure(context, progress)


def _process_months(context: AssetExecutionContext, ingest: IngestContext) -> RunProgress:
    """Materialise, record and check month after month; a failed month does not stop the next one.

    An error that every later month would meet as well (source, warehouse or Spark unavailable) ends the loop. A retry
    skips the months that an earlier attempt of this run recorded.
    """
    progress, months = RunProgress(), _months(context, ingest)
    recorded = RecordedMaterializations(context.instance, context.run.run_id)
    for number, month in enumerate(months, start=1):
        if context.retry_number and all(month in recorded.own_months(name) for name in ingest.selected):
            progress.done.append(month)
            if problems := recorded_problems(ingest.lake.check_results(month)):
                progress.failed[month] = "; ".join(problems)
            continue
        started = time.monotonic()
        try:
            problems = _process_month(context, ingest, month)
        except LogitrackError as error:
            _record_failure(context, ingest, month, str(error))
            progress.failed[month] = str(error)
            context.log.error(f"{month} ({number} of {len(months)}) failed: {error}")
            if isinstance(error, FATAL_ERRORS):
                progress.fatal = error
                break
        else:
            progress.done.append(month)
            if problems:
                progress.failed[month] = "; ".join(problems)
            context.log.info(f"{month} ({number} of {len(months)}) done in {time.monotonic() - started:.1f} s")
    return progress


def _months(context: AssetExecutionContext, ingest: IngestContext) -> Sequence[str]:
    """Return the months of the run; for checks alone, those that are in the lake."""
    if ingest.selected:
        return list(context.partition_keys)
    published = ingest.lake.silver_months()
    wanted = months_of_run(context.run.tags)
    return published if wanted is None else [month for month in wanted if month in published]


def _process_month(context: AssetExecutionContext, ingest: IngestContext, month: str) -> list[str]:
    """Materialise, record and check one month; return what its blocking checks found.

    Raises:
        LogitrackError: A step failed. The assets before it are recorded and checked.
    """
    versions: dict[str, str] = {}
    finished: set[str] = set()
    try:
        for name, result in materialize_month(ingest, month):
            record_month(context, AssetKey(name), month, metadata=result.metadata, data_version=result.data_version)
            finished.add(name)
            if name == SILVER:
                versions[month] = result.metadata[VERSION]
    except LogitrackError:
        _check_month(context, ingest, finished, month, versions)
        raise
    unselected = {check.asset for check in MONTH_CHECKS} - ingest.selected
    return _check_month(context, ingest, finished | unselected, month, versions)


def _check_month(
    context: AssetExecutionContext,
    ingest: IngestContext,
    names: Set[str],
    month: str,
    versions: Mapping[str, str],
) -> list[str]:
    """Evaluate and record the selected checks of some assets' month; return what the blocking ones found."""
    selected = [
        check for check in MONTH_CHECKS if check.key in context.selected_asset_check_keys and check.asset in names
    ]
    recorded = RecordedMaterializations(context.instance, context.run.run_id)
    found = evaluate_checks(selected, CheckedStores(ingest.lake, ingest.warehouse, versions), month)
    for check, problems in found.items():
        # Logged and not yielded: Dagster would fail this step, and with it the months that passed.
        context.log_event(check_evaluation(check, month, problems, recorded))
        for problem in problems:
            context.log.warning(f"{check.name}: {problem}")
    return [f"{check.name}: {problem}" for check, problems in found.items() if check.blocking for problem in problems]


def _record_failure(context: AssetExecutionContext, ingest: IngestContext, month: str, error: str) -> None:
    """Record the reason with each selected asset that the month lacks, for its partition in the UI."""
    recorded = RecordedMaterializations(context.instance, context.run.run_id)
    for spec in SPECS:
        name = spec.key.to_user_string()
        if name in ingest.selected and month not in recorded.own_months(name):
            record_error(context, spec.key, month, error)


def _failure(context: AssetExecutionContext, progress: RunProgress) -> Exception:
    """Return what to raise for failed months: a retry where time can help, else a failure that names them."""
    if isinstance(progress.fatal, TRANSIENT_ERRORS) and context.retry_number < MAX_RETRIES:
        context.log.warning(str(progress.fatal))
        return RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_SECONDS)
    done = len(set(progress.done) - set(progress.failed))
    tried = len(set(progress.done) | set(progress.failed))
    skipped = len(context.partition_keys) - tried if progress.fatal is not None else 0
    return Failure(
        description=describe_failure(progress.failed, done=done, skipped=skipped),
        metadata=progress.failed,
        allow_retries=False,
    )


assets = [trips]
