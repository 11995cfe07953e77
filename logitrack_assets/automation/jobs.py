"""The jobs: what one launches by hand, and what sensors and schedules launch."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

HOUR = 3600

TRIPS = AssetSelection.groups("trips")
DRIFT = AssetSelection.assets("eta_drift")


def _limits(hours: int) -> dict[str, str]:
    """Tags that end a run which hangs: Dagster's run monitoring looks at them."""
    return {"dagster/max_runtime": str(hours * HOUR)}


ingest_month = define_asset_job(
    "ingest_month",
    selection=TRIPS | DRIFT,
    description="A month, or a range of them, from the source to clean trips, the analysts' sample and rollups, and "
    "a look at whether the champion still fits them.",
    tags=_limits(6),
)

rebuild_month = define_asset_job(
    "rebuild_month",
    selection=(TRIPS - AssetSelection.assets("bronze_trips")) | DRIFT,
    description="The same from the files that are already in the lake: after a change of rules, without a download.",
    tags=_limits(6),
)

retrain_eta = define_asset_job(
    "retrain_eta",
    selection=AssetSelection.assets("eta_model", "eta_champion"),
    description="A candidate from the newest window of months, judged by its checks, promoted if they all pass.",
    tags=_limits(12),
)

run_checks = define_asset_job(
    "run_checks",
    selection=AssetSelection.all_asset_checks(),
    description="Every asset check, on what is there now; nothing is made anew.",
    tags=_limits(2),
)
