"""Assets of the model: a candidate, the champion that is served, and the drift of each month."""

import getpass
import time
from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    asset,
)
from matplotlib.figure import Figure
from pydantic import Field

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta import plots, tracking
from logitrack_assets.eta.artifact import CARD, FORMAT
from logitrack_assets.eta.drift import DriftMeasurement, find_drift
from logitrack_assets.eta.drift_store import write_measurements
from logitrack_assets.eta.evaluation.gates import GateResult, evaluate_gates, gate_record
from logitrack_assets.eta.gate_records import record_gates
from logitrack_assets.eta.model_card import markdown_table
from logitrack_assets.eta.registry import Champion, ModelRegistry
from logitrack_assets.eta.resources import ModelRegistryResource, MonitoringPolicy
from logitrack_assets.eta.shadow import ShadowFile
from logitrack_assets.eta.training.pipeline import Candidate, train_candidate
from logitrack_assets.eta.training.strategy import Estimator, TrainingOptions
from logitrack_assets.lake import Lake
from logitrack_assets.materializations import (
    UNVERSIONED,
    VERSION,
    RecordedMaterializations,
    output_without_event,
    record_error,
    record_month,
)
from logitrack_assets.partitions import MONTHS
from logitrack_assets.plotting import as_markdown
from logitrack_assets.resources import LakeResource, WarehouseResource
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.asset_names import SILVER
from logitrack_assets.trips.columns import drift_entries
from logitrack_assets.trips.manifest import version_of
from logitrack_assets.trips.verdicts import months_to_train, recorded_problems

CODE_VERSION = f"eta-{FORMAT}"
MAX_MONTHS_PER_RUN = 24
TRAINING_MONTHS_PASSED = "training_months_passed"
"""Name of the demand on the months, which is evaluated with the gates."""
MODEL_VERSION = "model_version"
"""Metadata entry of eta_drift: the version that a month was compared with."""

Metadata = dict[str, Any]


class TrainingConfig(Config):
    """Options of one training."""

    window_months: int | None = Field(
        None, ge=2, description="Newest months to train on; all that are loaded if empty. The backtest may use fewer."
    )
    estimator: Estimator = Field(
        "xgboost", description="`xgboost` (XGBoost on Spark) or `gbt` (MLlib's gradient-boosted trees)."
    )
    backtest_folds: int = Field(
        3, ge=1, le=12, description="Newest months on which strategies are compared and intervals are calibrated."
    )
    trees: int | None = Field(
        None, ge=10, le=3000, description="Trees of each variant; the estimator's default if empty."
    )
    seed: int = Field(20190801, ge=0, description="The same months and seed give the same predictions.")

    def to_options(self) -> TrainingOptions:
        """Return the options as the training pipeline takes them."""
        return TrainingOptions(self.estimator, self.window_months, self.backtest_folds, self.trees, self.seed)


@asset(
    deps=[AssetKey(SILVER)],
    group_name="eta",
    kinds={"pyspark", "xgboost", "onnx"},
    owners=["team:eta"],
    code_version=CODE_VERSION,
    tags={"domain": "eta"},
)
def eta_model(
    context: AssetExecutionContext,
    config: TrainingConfig,
    spark: SparkResource,
    lake: LakeResource,
    registry: ModelRegistryResource,
) -> MaterializeResult[None]:
    """A candidate: trees, prediction intervals and tables as one folder of ONNX, JSON and arrays.

    One variant predicts from zones only, one from zones and a planned distance. Fitted on every silver month that
    passed its blocking checks; a rolling backtest selects the strategy, and the newest month evaluates it.
    """
    models, opened = registry.open(), lake.open(context.log.info)
    try:
        months = months_to_train(opened, context.log.warning)
        candidate = train_candidate(
            spark.spark_session, opened, models, config.to_options(), months=months, log=context.log.info
        )
    except LogitrackError as error:
        raise Failure(str(error), allow_retries=False) from error
    figures = plots.evaluation_plots(candidate.evaluated, candidate.manifest.metrics.level, candidate.backtest)
    folder = models.path(candidate.manifest.version)
    return MaterializeResult(
        metadata={
            **_evaluation_metadata(candidate),
            **{name: MetadataValue.md(as_markdown(figure, name)) for name, figure in figures.items()},
            **_tracking_metadata(context, models, candidate, figures),
            "card": MetadataValue.md((folder / CARD).read_text(encoding="utf-8")),
            "backtest_table": MetadataValue.md(_backtest_table(candidate)),
            "folder": MetadataValue.path(str(folder)),
            "months_left_out": ", ".join(sorted(set(opened.silver_months()) - set(months))) or "none",
            # Entries of their own: Dagster charts numbers over the trainings.
            **{f"{part}_seconds": seconds for part, seconds in candidate.seconds.items()},
        },
    )


def _evaluation_metadata(candidate: Candidate) -> Metadata:
    manifest = candidate.manifest
    metrics = manifest.metrics
    return {
        VERSION: manifest.version,
        "strategy": manifest.recipe["name"],
        "dagster/row_count": sum(month.trips for month in manifest.training),
        "trained_from": manifest.training_months[0],
        "trained_through": manifest.trained_through,
        "evaluated_on": ", ".join(manifest.judged_on),
        "mae_minutes": round(metrics.zones.mae_minutes, 4),
        "mae_minutes_with_distance": round(metrics.distance.mae_minutes, 4),
        "mae_minutes_baseline": round(metrics.lookup.mae_minutes, 4),
        "rmse_minutes": round(metrics.zones.rmse_minutes, 4),
        "r2": round(metrics.zones.r2, 4),
        "mape": round(metrics.zones.mape, 4),
        "coverage": round(metrics.coverage_zones, 4),
        "interval_width_minutes": round(metrics.width_minutes_zones, 3),
    }


def _tracking_metadata(
    context: AssetExecutionContext, models: ModelRegistry, candidate: Candidate, figures: dict[str, Figure]
) -> Metadata:
    """Log the candidate to MLflow where that is configured. A failure is reported and does not fail the training."""
    if not tracking.is_enabled():
        return {}
    manifest = candidate.manifest
    try:
        outcome = tracking.log_candidate(manifest, models.path(manifest.version), figures)
    except LogitrackError as error:
        outcome = str(error)
        context.log.warning(outcome)
    return {"mlflow_run": MetadataValue.text(outcome)}


def _backtest_table(candidate: Candidate) -> str:
    rows = candidate.backtest.table()
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])


@asset(
    deps=[eta_model],
    group_name="eta",
    kinds={"onnx"},
    owners=["team:eta"],
    code_version=CODE_VERSION,
    tags={"domain": "eta"},
)
def eta_champion(
    context: AssetExecutionContext, registry: ModelRegistryResource, lake: LakeResource, policy: MonitoringPolicy
) -> MaterializeResult[None]:
    """The version that is served.

    The champion pointer moves to the materialised candidate only when it passes every gate and its training months
    passed their checks; otherwise the pointer stays and the candidate is kept with the reason. With
    `LOGITRACK_PROMOTION=shadow` it does not replace a champion, but is compared with it on outcomes.
    """
    version = RecordedMaterializations(context.instance, context.run.run_id).text("eta_model", VERSION)
    if version is None:
        raise Failure("There is no candidate to promote. Materialise eta_model first.", allow_retries=False)
    models = registry.open()
    results = evaluate_gates(models, version)
    records = [gate_record(name, result) for name, result in results.items()]
    months_passed = _training_months_passed(models, version, lake.open(context.log.info))
    records.append(gate_record(TRAINING_MONTHS_PASSED, months_passed, rule=_training_months_passed.__doc__))
    record_gates(models, version, records)
    results[TRAINING_MONTHS_PASSED] = months_passed
    _require_passed(models, version, results)
    previous = models.champion()
    author = f"dagster run {context.run.run_id} ({getpass.getuser()})"
    if previous is not None and previous.version != version and policy.promotion == "shadow":
        context.log.info(ShadowFile(models).begin(version, by=author).summary)
    elif previous is None or previous.version != version:
        reason = context.run.tags.get("logitrack/reason", "newest candidate")
        models.promote(version, by=author, reason=f"{reason}; checks passed")
    return MaterializeResult(metadata=_promotion_metadata(models, version, previous, results), data_version=UNVERSIONED)


def _training_months_passed(models: ModelRegistry, version: str, lake: Lake) -> GateResult:
    """No training month failed a blocking check in the version that the candidate was trained on."""
    failed = [
        f"{row.month}: {problem}"
        for row in models.manifest(version).training
        if (lake.receipt(row.fleet, row.month) or {}).get("sha256") == row.bronze_sha256
        for problem in recorded_problems(lake.check_results(row.month))
    ]
    return GateResult(not failed, "; ".join(dict.fromkeys(failed)) or "Every training month passed its checks.")


def _require_passed(models: ModelRegistry, version: str, results: dict[str, GateResult]) -> None:
    """Record every failed gate with the version.

    Raises:
        Failure: At least one gate failed.
    """
    failed = [f"{name}: {result.why}" for name, result in results.items() if not result.passed]
    for reason in failed:
        models.record_rejection(version, reason)
    if failed:
        raise Failure("\n".join([f"{version} was not promoted.", *failed]), allow_retries=False)


def _promotion_metadata(
    models: ModelRegistry, version: str, previous: Champion | None, results: dict[str, GateResult]
) -> Metadata:
    manifest = models.manifest(version)
    return {
        VERSION: version,
        "previous": previous.version if previous else "none",
        "trained_through": manifest.trained_through,
        "mae_minutes": round(manifest.metrics.mae_minutes, 4),
        "gates": MetadataValue.md(
            markdown_table(("gate", "finding"), [(name, result.why) for name, result in results.items()])
        ),
    }


@asset(
    # The champion's data version is constant: measurements are stored by version, so a promotion leaves those of the
    # earlier champion valid.
    deps=[AssetKey(SILVER), eta_champion],
    partitions_def=MONTHS,
    backfill_policy=BackfillPolicy.multi_run(MAX_MONTHS_PER_RUN),
    group_name="eta",
    kinds={"pyspark", "postgres"},
    owners=["team:eta"],
    code_version=f"drift-{FORMAT}",
    tags={"domain": "eta"},
    metadata={"dagster/table_name": "warehouse.eta_drift", **drift_entries()},
    output_required=False,
)
def eta_drift(
    context: AssetExecutionContext,
    spark: SparkResource,
    lake: LakeResource,
    registry: ModelRegistryResource,
    warehouse: WarehouseResource,
    policy: MonitoringPolicy,
) -> Iterator[MaterializeResult[None]]:
    """Differences between a month and what the champion was trained on.

    Population stability of each input, the number of trips, and the champion's error on the month's trips relative to
    its own test error. Months that failed in the same run, or failed a blocking check, are left out.
    """
    models, opened = registry.open(), lake.open(context.log.info)
    champion = models.champion()
    predictor = models.load(champion.version) if champion else None
    months, left_out = _months_to_compare(context, opened)
    for month in months:
        started = time.monotonic()
        if predictor is None:
            metadata = _outcome("No champion yet: there is nothing to compare the month with.")
        elif not opened.silver(month).is_dir():
            metadata = _outcome("The month has no silver trips.")
        elif month <= predictor.manifest.trained_through:
            metadata = _outcome(f"{predictor.version} is trained through {predictor.manifest.trained_through}.")
        else:
            measurements = find_drift(spark.spark_session, opened, models, predictor, month, policy.drift_thresholds())
            with warehouse.open().connect() as connection:
                write_measurements(connection, month, predictor.version, measurements)
            metadata = _drift_metadata(predictor.version, measurements)
            if drifted := _drifted(measurements):
                context.log.warning(f"{month} has drifted: {drifted}")
        metadata["drift_seconds"] = round(time.monotonic() - started, 2)
        version = version_of(predictor.version if predictor else "none", opened.silver_version(month))
        record_month(context, eta_drift.key, month, metadata=metadata, data_version=version)
    for month, reason in left_out.items():
        record_error(context, eta_drift.key, month, reason)
        context.log.warning(f"{month} is not compared: {reason}")
    if left_out and not months:
        raise Failure("; ".join(f"[{month}] {reason}" for month, reason in left_out.items()), allow_retries=False)
    yield output_without_event(eta_drift.key)


def _months_to_compare(context: AssetExecutionContext, lake: Lake) -> tuple[list[str], dict[str, str]]:
    """Return the months of the run to compare with the champion, and the reason by month for the others."""
    ingested = RecordedMaterializations(context.instance, context.run.run_id).own_months(SILVER)
    left_out = {}
    for month in context.partition_keys:
        if ingested and month not in ingested:
            left_out[month] = "silver_trips failed in this run"
        elif problems := recorded_problems(lake.check_results(month)):
            left_out[month] = "; ".join(problems)
    return [month for month in context.partition_keys if month not in left_out], left_out


def _outcome(text: str) -> Metadata:
    return {"outcome": MetadataValue.text(text)}


def _drifted(measurements: list[DriftMeasurement]) -> str:
    return "; ".join(f"{m.fleet} {m.measure} {m.value:.2f}" for m in measurements if m.drifted)


def _drift_metadata(version: str, measurements: list[DriftMeasurement]) -> Metadata:
    rows = [
        (m.fleet, m.measure, f"{m.value:.3f}", f"{m.threshold:g}", "yes" if m.drifted else "") for m in measurements
    ]
    return {
        **_outcome(_drifted(measurements) or "The month is like the training months."),
        MODEL_VERSION: MetadataValue.text(version),
        # Entries of their own: Dagster charts numbers over the months.
        **{
            f"{m.fleet}/{m.measure}": MetadataValue.float(m.value)
            for m in measurements
            if not m.measure.startswith("psi")
        },
        "findings": MetadataValue.md(markdown_table(("fleet", "measure", "value", "threshold", "drifted"), rows)),
    }


assets = [eta_model, eta_champion, eta_drift]
