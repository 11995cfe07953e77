"""Ingestion of new and republished months: found by HEAD requests, launched once each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    schedule,
    sensor,
)
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from logitrack_assets.automation.conditions import record_source_state
from logitrack_assets.automation.jobs import ingest_month
from logitrack_assets.automation.pipeline_state import record_published
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.partitions import MONTHS, contiguous, month_range
from logitrack_assets.resources import LakeResource
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.freshness import PUBLICATION_DELAY_MONTHS
from logitrack_assets.trips.resources import TlcSource
from logitrack_assets.trips.source import PublishedFile, Source, SourceError, SourceUnavailableError

RELAUNCH_AFTER = timedelta(days=1)
"""Time after which a month whose ingestion failed is launched again; a changed file is launched at once."""

MAX_PROBES = 120
"""Probes (fleet and month) of one tick, newest months first."""

MAX_PROBE_SECONDS = 20.0
"""Limit of all probes of one tick together. Dagster ends a tick after 60 s."""

PROBE_TIMEOUT_SECONDS = 5.0
"""Timeout of connecting and of each read of a probe: that of a tick when the source does not answer at all."""

MAX_CONCURRENT_PROBES = 4


@dataclass(frozen=True)
class LaunchedIngest:
    """The last launch of a fleet's month.

    Attributes:
        etag: Version of the published file.
        at: When it was launched, ISO 8601.
    """

    etag: str
    at: str


def months_to_probe(lake: Lake, fleets: Sequence[str], today: datetime) -> list[tuple[str, str]]:
    """Return the (fleet, month) to probe, newest first: from the first month in the lake to the current one.

    An empty lake gives none: a user chooses the first months.
    """
    ingested = lake.silver_months()
    if not ingested:
        return []
    months = month_range(ingested[0], f"{today:%Y-%m}")
    return [(fleet, month) for month in reversed(months) for fleet in fleets][:MAX_PROBES]


def months_due(
    lake: Lake,
    found: Mapping[tuple[str, str], PublishedFile | None],
    launched: Mapping[str, LaunchedIngest],
    now: datetime,
) -> dict[str, dict[str, str]]:
    """Return the published versions that the lake lacks, by month and fleet.

    Args:
        lake: Where ingested files have their receipts.
        found: What is published for each (fleet, month), None for nothing.
        launched: Launches of earlier ticks, by `fleet/month`; they prevent a second launch of the same version.
        now: Time of this tick, UTC.
    """
    due: dict[str, dict[str, str]] = {}
    for (fleet, month), published in found.items():
        if published is None:
            continue
        version = published.etag or f"{published.bytes} bytes"
        receipt = lake.receipt(fleet, month)
        if receipt is not None and version in (receipt.get("etag"), f"{receipt.get('bytes')} bytes"):
            continue
        if not _launched_recently(launched.get(f"{fleet}/{month}"), version, now):
            due.setdefault(month, {})[fleet] = version
    return due


def probe_files(
    source: Source, files: Sequence[tuple[str, str]], seconds: float
) -> dict[tuple[str, str], PublishedFile | None]:
    """Return what is published for each (fleet, month), in their order.

    Probes run concurrently, and those that have not ended after `seconds` are left out.

    Raises:
        SourceError: The source does not answer a probe.
    """
    executor = ThreadPoolExecutor(MAX_CONCURRENT_PROBES, thread_name_prefix="probe")
    try:
        probes = {file: executor.submit(source.probe, *file) for file in files}
        done, _ = wait(probes.values(), timeout=seconds, return_when=FIRST_EXCEPTION)
        return {file: probe.result() for file, probe in probes.items() if probe in done}
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _launched_recently(last: LaunchedIngest | None, version: str, now: datetime) -> bool:
    if last is None or last.etag != version:
        return False
    # In both directions: after the clock was set back, the month must not wait until the clock has caught up.
    return abs(now - datetime.fromisoformat(last.at)) < RELAUNCH_AFTER


def run_requests(due: Mapping[str, Mapping[str, str]], now: datetime) -> list[RunRequest]:
    """Return one run for each range of contiguous months; its key identifies the files and the day."""
    requests = []
    for first, last in contiguous(sorted(due)):
        files = {month: due[month] for month in month_range(first, last)}
        key = hashlib.sha256(json.dumps([files, f"{now:%Y-%m-%d}"], sort_keys=True).encode()).hexdigest()[:24]
        requests.append(
            RunRequest(
                run_key=f"published-{key}",
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: first,
                    ASSET_PARTITION_RANGE_END_TAG: last,
                    "logitrack/reason": f"published: {first}" + (f" to {last}" if last != first else ""),
                },
            )
        )
    return requests


def decode_launches(cursor: str | None) -> dict[str, LaunchedIngest]:
    """Return the launches that a sensor cursor holds, by `fleet/month`."""
    return {key: LaunchedIngest(**value) for key, value in json.loads(cursor or "{}").items()}


def encode_launches(
    launched: Mapping[str, LaunchedIngest], due: Mapping[str, Mapping[str, str]], lake: Lake, now: datetime
) -> str:
    """Return the cursor after this tick. Files that arrived in the lake are dropped, which bounds its size."""
    pending = {
        key: entry for key, entry in launched.items() if (lake.receipt(*key.split("/")) or {}).get("etag") != entry.etag
    }
    new = {
        f"{fleet}/{month}": LaunchedIngest(etag, now.isoformat()) for month in due for fleet, etag in due[month].items()
    }
    return json.dumps({key: vars(entry) for key, entry in (pending | new).items()}, sort_keys=True)


@sensor(
    name="ingest_published_months",
    job=ingest_month,
    minimum_interval_seconds=get_settings().source_interval_seconds,
    default_status=DefaultSensorStatus.RUNNING,
    description="Probes the source for months that are new or changed since they were ingested, and ingests them. "
    "While the source is down it keeps its cursor and launches nothing.",
)
def ingest_published_months(
    context: SensorEvaluationContext, lake: LakeResource, source: TlcSource
) -> SensorResult | SkipReason:
    """Launch the ingestion of months that are due."""
    now, opened = datetime.now(UTC), lake.open(context.log.info)
    # One attempt with a short time-out: the next tick repeats it.
    probed = source.open(context.log.info, attempts=1, timeout_seconds=PROBE_TIMEOUT_SECONDS)
    launched = decode_launches(context.cursor)
    try:
        probes = months_to_probe(opened, source.fleets, now)
        found = probe_files(probed, probes, MAX_PROBE_SECONDS)
        record_published(context.instance, found)
        due = months_due(opened, found, launched, now)
        if not due and len(found) < len(probes):
            raise SourceUnavailableError(
                f"The source is slow: {len(found)} of {len(probes)} files were probed in {MAX_PROBE_SECONDS:g} s."
            )
    except SourceError as error:
        record_source_state(context.instance, reachable=False, now=now)
        return SkipReason(f"{error} Nothing was launched; the next tick probes again.")
    record_source_state(context.instance, reachable=True, now=now)
    if not due:
        reason = "nothing new" if opened.silver_months() else "the lake is empty, ingest the first months by hand"
        return SkipReason(f"Probed {probed.base}: {reason}.")
    return SensorResult(run_requests=run_requests(due, now), cursor=encode_launches(launched, due, opened, now))


@schedule(
    job=ingest_month,
    cron_schedule="0 7 20 * *",
    execution_timezone="America/New_York",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Fallback for the sensor: on the 20th, the month that the TLC publishes about then (two months back).",
)
def ingest_monthly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Launch the ingestion of the month before the last one."""
    tick = context.scheduled_execution_time
    month = str(Month(Month.parse(f"{tick:%Y-%m}").number - PUBLICATION_DELAY_MONTHS))
    if not MONTHS.has_partition_key(month):
        return SkipReason(f"{month} is outside the months from LOGITRACK_FIRST_MONTH to LOGITRACK_LAST_MONTH.")
    return RunRequest(run_key=f"monthly-{month}", partition_key=month, tags={"logitrack/reason": "monthly schedule"})
