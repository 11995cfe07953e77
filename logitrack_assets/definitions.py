"""The code location: assets, checks, jobs, schedules, sensors and resources, assembled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    ConfigurableResource,
    Definitions,
    FreshnessPolicy,
    apply_freshness_policy,
    in_process_executor,
    with_source_code_references,
)

from logitrack_assets import automation
from logitrack_assets.eta.assets import assets as eta_assets
from logitrack_assets.eta.checks import checks as eta_checks
from logitrack_assets.eta.resources import ModelRegistryResource, MonitoringPolicy
from logitrack_assets.resources import AlertWebhook, LakeResource, RetentionPolicy, WarehouseResource
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.assets import assets as trip_assets
from logitrack_assets.trips.checks import checks as trip_checks
from logitrack_assets.trips.resources import TlcSource

MONITORED = {AssetKey(name) for name in ("silver_trips", "analytics_sample", "trip_stats", "eta_champion")}
"""Assets that users read, so that their age matters."""

# The TLC publishes once a month: 38 days without a new month are unusual, after 45 something is broken.
MONTHLY = FreshnessPolicy.time_window(fail_window=timedelta(days=45), warn_window=timedelta(days=38))


def resources_from_settings(settings: Settings) -> dict[str, ConfigurableResource[Any]]:
    """Return every resource of the code location by the name of the parameter that receives it."""
    home = str(settings.home)
    return {
        "spark": SparkResource.from_settings(settings),
        "lake": LakeResource(home=home),
        "warehouse": WarehouseResource(),
        "registry": ModelRegistryResource(home=home),
        "source": TlcSource(
            base_url=settings.source_url,
            fleets=list(settings.fleets),
            sample_rows_per_month=settings.sample_rows_per_month,
        ),
        "policy": MonitoringPolicy(
            drift_psi=settings.drift_psi,
            drift_volume_ratio=settings.drift_volume_ratio,
            drift_error_ratio=settings.drift_error_ratio,
            live_error_worse_by=settings.live_error_worse_by,
            retrain_cooldown_hours=settings.retrain_cooldown_hours,
        ),
        "retention": RetentionPolicy(
            keep_runs_days=settings.keep_runs_days, keep_requests_days=settings.keep_requests_days
        ),
        "alerts": AlertWebhook(),
    }


def _with_freshness(spec: AssetSpec) -> AssetSpec:
    return apply_freshness_policy(spec, MONTHLY) if spec.key in MONITORED else spec


assets: list[AssetsDefinition] = [asset.map_asset_specs(_with_freshness) for asset in (*trip_assets, *eta_assets)]

defs = Definitions(
    assets=with_source_code_references(assets),
    asset_checks=[*trip_checks, *eta_checks],
    jobs=automation.jobs,
    schedules=automation.schedules,
    sensors=automation.sensors,
    resources=resources_from_settings(get_settings()),
    # One process a run, so that its steps share one Spark session.
    executor=in_process_executor,
)
