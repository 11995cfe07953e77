"""Jobs, schedules and sensors. Plain functions beside them hold the decisions."""

from dagster import JobDefinition
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from logitrack_assets.automation.alerts import alert_on_conditions, alert_on_failure
from logitrack_assets.automation.jobs import (
    check_freshness,
    check_freshness_daily,
    ingest_month,
    rebuild_month,
    retrain_eta,
    run_checks,
)
from logitrack_assets.automation.pipeline_state import publish_pipeline_state
from logitrack_assets.automation.published_months import ingest_monthly, ingest_published_months
from logitrack_assets.automation.retention import clean_up, clean_up_weekly
from logitrack_assets.automation.retraining import retrain_when_due
from logitrack_assets.automation.shadow import compare_challenger

jobs: list[JobDefinition | UnresolvedAssetJobDefinition] = [
    ingest_month,
    rebuild_month,
    retrain_eta,
    run_checks,
    check_freshness,
    clean_up,
]
schedules = [ingest_monthly, clean_up_weekly, check_freshness_daily]
sensors = [
    ingest_published_months,
    retrain_when_due,
    compare_challenger,
    alert_on_failure,
    alert_on_conditions,
    publish_pipeline_state,
]

__all__ = ["jobs", "schedules", "sensors"]
