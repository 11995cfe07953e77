"""`eta_drift`: each new month beside what the champion learned from; rows in PostgreSQL, metadata, a warning check."""

from collections.abc import Sequence

import psycopg
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    MaterializeResult,
    MetadataValue,
    asset,
    asset_check,
)
from sqlalchemy import make_url

from logitrack_assets.database import database_url, migrate
from logitrack_assets.eta.artifact import FORMAT
from logitrack_assets.eta.drift import DriftMeasurement, DriftThresholds, find_drift
from logitrack_assets.eta.model_card import markdown_table
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_assets.partitions import MONTHS
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource

MAX_MONTHS_PER_RUN = 24


def thresholds(settings: Settings) -> DriftThresholds:
    """The thresholds of these settings; the defaults and their reasons are in `drift.DriftThresholds`."""
    return DriftThresholds(
        psi=settings.drift_psi, volume_ratio=settings.drift_volume_ratio, error_ratio=settings.drift_error_ratio
    )


def write_findings(url: str, month: str, version: str, findings: Sequence[DriftMeasurement]) -> None:
    """Replaces what is known of a month for a model version, in one transaction."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute("delete from warehouse.eta_drift where month = %s and model_version = %s", (month, version))
        cursor.executemany(
            "insert into warehouse.eta_drift (month, fleet, model_version, measure, value, threshold, drifted) "
            "values (%s, %s, %s, %s, %s, %s, %s)",
            [(month, f.fleet, version, f.measure, f.value, f.threshold, f.drifted) for f in findings],
        )


@asset(
    deps=[AssetKey("silver_trips")],
    partitions_def=MONTHS,
    backfill_policy=BackfillPolicy.multi_run(MAX_MONTHS_PER_RUN),
    group_name="eta",
    kinds={"pyspark", "postgres"},
    owners=["team:eta"],
    code_version=f"drift-{FORMAT}",
    pool="spark",
    tags={"domain": "eta"},
    metadata={"dagster/table_name": "warehouse.eta_drift"},
    description="How far a month is from what the champion learned: population stability of each input, number of "
    "trips, and the champion's error on the month's real trips against its own test error.",
)
def eta_drift(context: AssetExecutionContext, spark: SparkResource) -> MaterializeResult:
    settings = get_settings()
    lake, models = Lake(settings.home), ModelRegistry(settings.home / "models")
    champion = models.champion()
    artifact = models.load(champion.version) if champion else None
    drifted: dict[str, list[str]] = {}
    said: dict[str, MetadataValue]
    for month in context.partition_keys:
        if artifact is None:
            said = {"outcome": MetadataValue.text("There is no champion yet, so nothing to compare the month with.")}
        elif not lake.silver(month).is_dir():
            said = {"outcome": MetadataValue.text("The month has no clean trips.")}
        elif month <= artifact.manifest.trained_through:
            said = {"outcome": MetadataValue.text(f"{artifact.version} is trained through a later month than this.")}
        else:
            findings = find_drift(spark.session, lake, models, artifact, month, thresholds(settings))
            url = database_url(settings)
            migrate(url)
            write_findings(url, month, artifact.version, findings)
            drifted[month] = [f"{f.fleet} {f.measure} {f.value:.2f}" for f in findings if f.drifted]
            rows = [
                (f.fleet, f.measure, f"{f.value:.3f}", f"{f.threshold:g}", "yes" if f.drifted else "") for f in findings
            ]
            said = {
                "outcome": MetadataValue.text("; ".join(drifted[month]) or "The month is like those before it."),
                "model_version": MetadataValue.text(artifact.version),
                # Numbers of their own: Dagster charts them over the months.
                **{
                    f"{f.fleet}/{f.measure}": MetadataValue.float(f.value)
                    for f in findings
                    if not f.measure.startswith("psi")
                },
                "findings": MetadataValue.md(
                    markdown_table(("fleet", "measure", "value", "threshold", "drifted"), rows)
                ),
            }
        context.add_asset_metadata(said, partition_key=month)
    for month, found in drifted.items():
        if found:
            context.log.warning(f"{month} has drifted: {'; '.join(found)}")
    return MaterializeResult()


@asset_check(
    asset=eta_drift,
    name="no_drift",
    description="Warns where a month after the champion's own has drifted from what the champion learned.",
)
def drift_check(context: AssetCheckExecutionContext) -> AssetCheckResult:
    settings = get_settings()
    models = ModelRegistry(settings.home / "models")
    champion = models.champion()
    if champion is None:
        return AssetCheckResult(passed=True, description="There is no champion yet.")
    url = database_url(settings)
    migrate(url)
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        rows = connection.execute(
            "select month, string_agg(fleet || ' ' || measure, ', ' order by fleet, measure) from warehouse.eta_drift "
            "where model_version = %s and drifted group by month order by month",
            (champion.version,),
        ).fetchall()
    described = "; ".join(f"{month}: {measures}" for month, measures in rows)
    return AssetCheckResult(
        passed=not rows,
        severity=AssetCheckSeverity.WARN,
        description=described or f"No month after {champion.version}'s own has drifted.",
        metadata={"model_version": champion.version, "months": len(rows)},
    )
