"""Jobs: launched by users, sensors and schedules."""

from __future__ import annotations

from dagster import AssetSelection, DefaultScheduleStatus, ScheduleDefinition, define_asset_job

from logitrack_assets.trips.freshness import newest_month_recent

SECONDS_PER_HOUR = 3600

TRIPS = AssetSelection.groups("trips")
DRIFT = AssetSelection.assets("eta_drift")


def _max_runtime(hours: int) -> dict[str, str]:
    """Return the tag by which Dagster's run monitoring ends a run that takes longer."""
    return {"dagster/max_runtime": str(hours * SECONDS_PER_HOUR)}


ingest_month = define_asset_job(
    "ingest_month",
    selection=TRIPS | DRIFT,
    description="Ingest a month or a range of months: from the source to silver trips, the analysts' sample, the "
    "rollups, and the drift of the month.",
    tags=_max_runtime(6),
)

rebuild_month = define_asset_job(
    "rebuild_month",
    selection=(TRIPS - AssetSelection.assets("bronze_trips")) | DRIFT,
    description="Rebuild months from the bronze files in the lake without a download, for example after rules changed.",
    tags=_max_runtime(6),
)

retrain_eta = define_asset_job(
    "retrain_eta",
    selection=AssetSelection.assets("eta_model", "eta_champion"),
    description="Train a candidate on the newest window of months and promote it if it passes every check.",
    tags=_max_runtime(12),
)

run_checks = define_asset_job(
    "run_checks",
    # The age of the newest month is a claim about today, not about the months that are checked.
    selection=AssetSelection.all_asset_checks() - AssetSelection.checks(newest_month_recent),
    description="Run the asset checks of months and models on what is materialised; nothing is materialised.",
    tags=_max_runtime(2),
)

check_freshness = define_asset_job(
    "check_freshness",
    selection=AssetSelection.checks(newest_month_recent),
    description="Check how long ago the newest month of each table was published.",
    tags=_max_runtime(1),
)

check_freshness_daily = ScheduleDefinition(
    name="check_freshness_daily",
    job=check_freshness,
    description="Every morning: how long ago the newest month of each table was due.",
    cron_schedule="0 9 * * *",
    execution_timezone="America/New_York",
    default_status=DefaultScheduleStatus.RUNNING,
)
