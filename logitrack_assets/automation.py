"""Jobs, schedules and sensors: when things happen."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

ingest_month = define_asset_job(
    "ingest_month",
    selection=AssetSelection.groups("trips"),
    description="A month (or a range) from the source to silver, the analysts' sample and the rollups.",
)

retrain_eta = define_asset_job(
    "retrain_eta",
    selection=AssetSelection.assets("eta_model", "eta_champion"),
    description="A candidate from the newest window of months, judged by its checks and promoted if they pass.",
)

jobs = [ingest_month, retrain_eta]
