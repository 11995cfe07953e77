"""The first load of an installation: the months that `up` and `demo` take from the source, and its partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from logitrack_assets.commands.requirements import stack_source_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.instance import dagster_environment
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month
from logitrack_assets.partitions import contiguous
from logitrack_assets.settings import Settings
from logitrack_assets.trips.source import Source, SourceError, first_month, newest_months

PROBE_ATTEMPTS = 2
PROBE_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class FirstLoad:
    """The months of a first load.

    Attributes:
        months: `YYYY-MM`, sorted.
        earlier: The newest month before them that the source has, None when it has none.
    """

    months: list[str]
    earlier: str | None

    @property
    def option(self) -> str:
        """The months as the option `--months`: ranges, separated by commas."""
        ranges = contiguous(self.months)
        return ",".join(first if first == last else f"{first}:{last}" for first, last in ranges)


def stack_environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which Dagster acts as under `up`: instance, source, fleets and partitions.

    The partitions begin and end with a source whose months are known without a request, unless settings say otherwise.
    A folder can grow, the packaged sample cannot. Months in the lake always have partitions.
    """
    environment = dagster_environment(settings) | {
        "LOGITRACK_TLC_URL": stack_source_url(settings),
        "LOGITRACK_FLEETS": ",".join(settings.fleets),
        "LOGITRACK_FIRST_MONTH": settings.first_month,
    }
    source, today = _source(stack_source_url(settings)), _this_month()
    loaded = Lake(settings.home).silver_months()
    if "first_month" not in settings.model_fields_set and source.folder is not None:
        known = [month for month in (_first_month(source, settings, today), *loaded[:1]) if month is not None]
        environment["LOGITRACK_FIRST_MONTH"] = min(known, default=settings.first_month)
    if settings.last_month is not None:
        environment["LOGITRACK_LAST_MONTH"] = settings.last_month
    elif settings.tlc_url is None:
        newest = newest_months(source, settings.fleets, 1, today)
        if known := [*newest, *loaded[-1:]]:
            environment["LOGITRACK_LAST_MONTH"] = max(known)
    return environment


def plan_first_load(settings: Settings, environment: Mapping[str, str]) -> FirstLoad:
    """Return the newest months of the source within the partitions, at most `LOGITRACK_FIRST_LOAD_MONTHS`.

    Args:
        settings: Of the installation.
        environment: From `stack_environment`.

    Raises:
        LogitrackError: The source does not answer, or has no month.
    """
    source = _source(environment["LOGITRACK_TLC_URL"])
    first, last = environment["LOGITRACK_FIRST_MONTH"], environment.get("LOGITRACK_LAST_MONTH")
    until = Month.parse(last) if last is not None else _this_month().previous
    found = newest_months(source, settings.fleets, settings.first_load_months + 1, until)
    found = [month for month in found if month >= first]
    if not found:
        raise LogitrackError(
            f"{source.base} has no file of {' or '.join(settings.fleets)} from {first} to {until}.",
            hint="Set LOGITRACK_TLC_URL, LOGITRACK_FLEETS or LOGITRACK_FIRST_MONTH, or run `logitrack doctor`.",
        )
    count = settings.first_load_months
    return FirstLoad(found[-count:], found[0] if len(found) > count else None)


def _source(url: str) -> Source:
    return Source(url, attempts=PROBE_ATTEMPTS, timeout_seconds=PROBE_TIMEOUT_SECONDS)


def _first_month(source: Source, settings: Settings, until: Month) -> str | None:
    try:
        return first_month(source, settings.fleets, until)
    except SourceError:  # the folder does not exist: reported where files are needed, not here
        return None


def _this_month() -> Month:
    return Month.parse(f"{datetime.now(UTC):%Y-%m}")
