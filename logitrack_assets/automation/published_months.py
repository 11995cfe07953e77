"""New and republished months: asked for cheaply, ingested once each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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

from logitrack_assets.automation.jobs import ingest_month
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import contiguous, month_range
from logitrack_assets.settings import get_settings
from logitrack_assets.trips.source import Source, SourceError

RELAUNCH_AFTER = timedelta(days=1)
"""A month whose ingest failed is asked for again a day later, and at once when the source changes it."""

MAX_PROBES = 120
"""Questions (fleet and month) in one tick, the newest months first: HEAD requests, well under a minute."""


@dataclass(frozen=True)
class LaunchedIngest:
    """What was launched for a fleet's month: which version of the file, and when."""

    etag: str
    at: str


def months_to_probe(lake: Lake, fleets: Sequence[str], today: datetime) -> list[tuple[str, str]]:
    """(fleet, month) worth a question: everything from the first month in the lake up to now, newest first.

    An empty lake gives none: which years to begin with is for a person to say.
    """
    ingested = lake.silver_months()
    if not ingested:
        return []
    months = month_range(ingested[0], f"{today:%Y-%m}")
    return [(fleet, month) for month in reversed(months) for fleet in fleets][:MAX_PROBES]


def months_due(
    lake: Lake, source: Source, fleets: Sequence[str], launched: Mapping[str, LaunchedIngest], now: datetime
) -> dict[str, dict[str, str]]:
    """Months that the source has and the lake lacks, or has in another version: month to fleet to version.

    `launched` is what earlier ticks asked for; it keeps a month from being launched twice.

    Raises:
        SourceError: the source does not answer; then nothing is known, and nothing is lost.
    """
    due: dict[str, dict[str, str]] = {}
    for fleet, month in months_to_probe(lake, fleets, now):
        published = source.probe(fleet, month)
        if published is None:
            continue
        version = published.etag or f"{published.bytes} bytes"
        receipt = lake.receipt(fleet, month)
        if receipt is not None and version in (receipt.get("etag"), f"{receipt.get('bytes')} bytes"):
            continue
        before = launched.get(f"{fleet}/{month}")
        # Either way: a clock that was set back must not keep a month waiting until it has caught up.
        if before and before.etag == version and abs(now - datetime.fromisoformat(before.at)) < RELAUNCH_AFTER:
            continue
        due.setdefault(month, {})[fleet] = version
    return due


def run_requests(due: Mapping[str, Mapping[str, str]], now: datetime) -> list[RunRequest]:
    """One run for each stretch of months; its key is made of what it brings, so that it is never launched twice."""
    requests = []
    for first, last in contiguous(sorted(due)):
        brought = {month: due[month] for month in month_range(first, last)}
        key = hashlib.sha256(json.dumps([brought, f"{now:%Y-%m-%d}"], sort_keys=True).encode()).hexdigest()[:24]
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


def read_cursor(text: str | None) -> dict[str, LaunchedIngest]:
    """What earlier ticks launched."""
    return {key: LaunchedIngest(**value) for key, value in json.loads(text or "{}").items()}


def write_cursor(
    launched: Mapping[str, LaunchedIngest], due: Mapping[str, Mapping[str, str]], lake: Lake, now: datetime
) -> str:
    """The cursor after this tick; months that have arrived are dropped from it, so it stays small."""
    kept = {
        key: entry for key, entry in launched.items() if (lake.receipt(*key.split("/")) or {}).get("etag") != entry.etag
    }
    new = {
        f"{fleet}/{month}": LaunchedIngest(etag, now.isoformat()) for month in due for fleet, etag in due[month].items()
    }
    return json.dumps({key: vars(entry) for key, entry in (kept | new).items()}, sort_keys=True)


@sensor(
    name="ingest_published_months",
    job=ingest_month,
    minimum_interval_seconds=get_settings().source_interval_seconds,
    default_status=DefaultSensorStatus.RUNNING,
    description="Asks the source which months are new or changed since they were ingested, and ingests those. "
    "While the source is down it waits and forgets nothing.",
)
def ingest_published_months(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    settings, now = get_settings(), datetime.now(UTC)
    lake = Lake(settings.home)
    # One quick attempt: the next tick is the retry.
    source = Source(settings.source_url, attempts=1, timeout_seconds=10, report=context.log.info)
    launched = read_cursor(context.cursor)
    try:
        due = months_due(lake, source, settings.fleets, launched, now)
    except SourceError as error:
        return SkipReason(f"{error} Nothing is launched; the next tick asks again.")
    if not due:
        why = "nothing new" if lake.silver_months() else "the lake is empty: ingest the first months by hand"
        return SkipReason(f"Asked {source.base}: {why}.")
    return SensorResult(run_requests=run_requests(due, now), cursor=write_cursor(launched, due, lake, now))


@schedule(
    job=ingest_month,
    cron_schedule="0 7 20 * *",
    execution_timezone="America/New_York",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The safety net: on the 20th, the month that the TLC publishes about then (two months back).",
)
def ingest_monthly(context: ScheduleEvaluationContext) -> RunRequest:
    moment = context.scheduled_execution_time
    month = month_range("2011-01", f"{moment:%Y-%m}")[-3]
    return RunRequest(run_key=f"monthly-{month}", partition_key=month, tags={"logitrack/reason": "monthly schedule"})
