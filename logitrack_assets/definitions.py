"""Everything Dagster knows of logitrack, in one object; assembly only."""

from __future__ import annotations

from datetime import timedelta

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Definitions,
    FreshnessPolicy,
    apply_freshness_policy,
    in_process_executor,
    with_source_code_references,
)

from logitrack_assets import automation
from logitrack_assets.eta.assets import assets as eta_assets
from logitrack_assets.eta.checks import checks as eta_checks
from logitrack_assets.settings import get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.assets import assets as trip_assets
from logitrack_assets.trips.checks import checks as trip_checks

RELIED_ON = {AssetKey(name) for name in ("silver_trips", "analytics_sample", "trip_stats", "eta_champion")}

# The TLC publishes once a month: nothing new for 38 days is odd, for 45 something is broken.
MONTHLY = FreshnessPolicy.time_window(fail_window=timedelta(days=45), warn_window=timedelta(days=38))


def _kept_fresh(spec: AssetSpec) -> AssetSpec:
    return apply_freshness_policy(spec, MONTHLY) if spec.key in RELIED_ON else spec


assets: list[AssetsDefinition] = [made.map_asset_specs(_kept_fresh) for made in (*trip_assets, *eta_assets)]


defs = Definitions(
    assets=with_source_code_references(assets),
    asset_checks=[*trip_checks, *eta_checks],
    jobs=automation.jobs,
    schedules=automation.schedules,
    sensors=automation.sensors,
    resources={"spark": SparkResource.from_settings(get_settings())},
    # One process a run: its steps share one Spark session.
    executor=in_process_executor,
)
