"""The code location: assets, checks, jobs, schedules, sensors and resources, assembled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dagster import (
    AssetsDefinition,
    AssetSpec,
    ConfigurableResource,
    Definitions,
    FreshnessPolicy,
    MetadataValue,
    apply_freshness_policy,
    in_process_executor,
    with_source_code_references,
)

from logitrack_assets import automation
from logitrack_assets.eta.assets import assets as eta_assets
from logitrack_assets.eta.assets import eta_champion
from logitrack_assets.eta.checks import checks as eta_checks
from logitrack_assets.eta.resources import ModelRegistryResource, MonitoringPolicy
from logitrack_assets.platform_health import PlatformResource
from logitrack_assets.resources import AlertWebhook, LakeResource, RetentionPolicy, WarehouseResource
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.asset_names import SAMPLE, SOURCE, STATS
from logitrack_assets.trips.assets import assets as trip_assets
from logitrack_assets.trips.checks import checks as trip_checks
from logitrack_assets.trips.freshness import FAIL_AFTER_DAYS, WARN_AFTER_DAYS, newest_month_recent
from logitrack_assets.trips.resources import TlcSource

SERVICE = "logitrack_service"
TLC_PAGE = "https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page"
# The TLC publishes once a month, so a champion is usually promoted once a month. Months themselves are checked by
# `newest_month_recent`: a policy looks at the time of materialisation, by which a backfilled old month is fresh.
CHAMPION_FRESHNESS = FreshnessPolicy.time_window(
    fail_window=timedelta(days=FAIL_AFTER_DAYS), warn_window=timedelta(days=WARN_AFTER_DAYS)
)


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
            promotion=settings.promotion,
        ),
        "retention": RetentionPolicy(
            keep_runs_days=settings.keep_runs_days, keep_requests_days=settings.keep_requests_days
        ),
        "platform": PlatformResource(),
        "alerts": AlertWebhook(dagster_url=settings.dagster_address),
    }


def _with_freshness(spec: AssetSpec) -> AssetSpec:
    return apply_freshness_policy(spec, CHAMPION_FRESHNESS) if spec.key == eta_champion.key else spec


assets: list[AssetsDefinition] = [asset.map_asset_specs(_with_freshness) for asset in (*trip_assets, *eta_assets)]


def external_assets(settings: Settings) -> list[AssetSpec]:
    """Return what Dagster does not materialise: where the trips come from, and who reads the results."""
    source = settings.source_url
    link = {"address": MetadataValue.url(source) if source.startswith("http") else MetadataValue.path(source)}
    service = f"http://{settings.service_host}:{settings.service_port}"
    return [
        AssetSpec(
            SOURCE,
            group_name="sources",
            description="Trip record files of the New York City Taxi and Limousine Commission: one Parquet file for "
            "each fleet and month, published about two months after the month.",
            kinds={"parquet"},
            owners=["team:data"],
            tags={"domain": "trips"},
            metadata={**link, "dictionary": MetadataValue.url(TLC_PAGE)},
        ),
        AssetSpec(
            SERVICE,
            deps=[eta_champion, SAMPLE, STATS],
            group_name="serving",
            description="The HTTP service: predictions with the champion, and analytics on the warehouse tables.",
            kinds={"python", "postgres"},
            owners=["team:eta"],
            tags={"domain": "eta"},
            metadata={"address": MetadataValue.url(service), "api": MetadataValue.url(f"{service}/schema")},
        ),
    ]


defs = Definitions(
    assets=[*with_source_code_references(assets), *external_assets(get_settings())],
    asset_checks=[*trip_checks, newest_month_recent, *eta_checks],
    jobs=automation.jobs,
    schedules=automation.schedules,
    sensors=automation.sensors,
    resources=resources_from_settings(get_settings()),
    # One process a run, so that its steps share one Spark session.
    executor=in_process_executor,
)
