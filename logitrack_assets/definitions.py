"""Everything Dagster knows of logitrack, in one object; assembly only."""

from __future__ import annotations

from dagster import Definitions, in_process_executor

from logitrack_assets import automation
from logitrack_assets.eta.assets import assets as eta_assets
from logitrack_assets.eta.checks import checks as eta_checks
from logitrack_assets.settings import get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.assets import assets as trip_assets
from logitrack_assets.trips.checks import checks as trip_checks

defs = Definitions(
    assets=[*trip_assets, *eta_assets],
    asset_checks=[*trip_checks, *eta_checks],
    jobs=automation.jobs,
    resources={"spark": SparkResource.from_settings(get_settings())},
    # One process a run: its steps share one Spark session.
    executor=in_process_executor,
)
