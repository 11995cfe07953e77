"""The model as Dagster assets: thin. A candidate is made, its checks judge it, and the champion's pointer moves."""

import getpass

from dagster import AssetExecutionContext, AssetKey, Config, Failure, MaterializeResult, MetadataValue, asset
from pydantic import Field

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta import plots, tracking
from logitrack_assets.eta.artifact import CARD, FORMAT
from logitrack_assets.eta.drift_asset import eta_drift
from logitrack_assets.eta.evaluation.gates import evaluate_gates
from logitrack_assets.eta.model_card import markdown_table
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.training.pipeline import Candidate, train_candidate
from logitrack_assets.eta.training.strategy import Estimator, TrainingOptions
from logitrack_assets.lake import Lake
from logitrack_assets.plotting import as_markdown
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource

CODE_VERSION = f"eta-{FORMAT}"


class TrainingConfig(Config):
    """What can be turned for one training."""

    window_months: int | None = Field(
        None, ge=2, description="Newest months to look at; all that are loaded when empty. The backtest may use fewer."
    )
    estimator: Estimator = Field(
        "xgboost", description="`xgboost` (XGBoost on Spark) or `gbt` (MLlib's gradient-boosted trees)."
    )
    backtest_folds: int = Field(
        3, ge=1, le=12, description="Newest months on which recipes are compared and intervals are calibrated."
    )
    trees: int | None = Field(
        None, ge=10, le=3000, description="Trees in each forest; the estimator's default if empty."
    )
    seed: int = Field(20190801, ge=0, description="The same months and seed give the same predictions.")


def _models(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings.home / "models")


@asset(
    deps=[AssetKey("silver_trips")],
    group_name="eta",
    kinds={"pyspark", "xgboost", "onnx"},
    owners=["team:eta"],
    code_version=CODE_VERSION,
    pool="spark",
    tags={"domain": "eta"},
    description="A candidate: trees for zones alone and with a planned distance, intervals, and what is needed to "
    "answer, as one folder of inert files. FittedModel on every clean month that is loaded; its recipe is chosen by a "
    "rolling backtest and judged on the newest month.",
)
def eta_model(context: AssetExecutionContext, config: TrainingConfig, spark: SparkResource) -> MaterializeResult:
    settings = get_settings()
    models = _models(settings)
    options = TrainingOptions(config.estimator, config.window_months, config.backtest_folds, config.trees, config.seed)
    try:
        candidate = train_candidate(spark.session, Lake(settings.home), models, options, log=context.log.info)
    except LogitrackError as error:
        raise Failure(str(error), allow_retries=False) from error
    pictures = plots.evaluation_plots(candidate.evaluated, candidate.manifest.metrics.level, candidate.backtest)
    folder = models.path(candidate.manifest.version)
    shown: dict[str, MetadataValue] = {
        name: MetadataValue.md(as_markdown(figure, name)) for name, figure in pictures.items()
    }
    if tracking.is_enabled():
        try:
            told = tracking.log_candidate(candidate.manifest, folder, pictures)
        except LogitrackError as error:  # the version is published; where it is also written down is second to that
            told = str(error)
            context.log.warning(told)
        shown["mlflow_run"] = MetadataValue.text(told)
    return MaterializeResult(
        metadata={
            **_facts(candidate),
            **shown,
            "card": MetadataValue.md((folder / CARD).read_text(encoding="utf-8")),
            "backtest_table": MetadataValue.md(_backtest_table(candidate)),
            "folder": MetadataValue.path(str(folder)),
            "seconds_by_part": MetadataValue.json(candidate.seconds),
        },
    )


def _facts(candidate: Candidate) -> dict[str, str | int | float]:
    manifest = candidate.manifest
    metrics = manifest.metrics
    return {
        "version": manifest.version,
        "recipe": manifest.recipe["name"],
        "dagster/row_count": sum(month.trips for month in manifest.training),
        "trained_from": manifest.training_months[0],
        "trained_through": manifest.trained_through,
        "judged_on": ", ".join(manifest.judged_on),
        "mae_minutes": round(metrics.zones.mae_minutes, 4),
        "mae_minutes_with_distance": round(metrics.distance.mae_minutes, 4),
        "mae_minutes_lookup": round(metrics.lookup.mae_minutes, 4),
        "rmse_minutes": round(metrics.zones.rmse_minutes, 4),
        "r2": round(metrics.zones.r2, 4),
        "mape": round(metrics.zones.mape, 4),
        "coverage": round(metrics.coverage_zones, 4),
        "interval_width_minutes": round(metrics.width_minutes_zones, 3),
    }


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
    description="The version that is served. The pointer moves to the newest candidate only when every check has "
    "passed; otherwise it stays, and the candidate is kept with the reason.",
)
def eta_champion(context: AssetExecutionContext) -> MaterializeResult:
    models = _models(get_settings())
    versions = models.versions()
    if not versions:
        raise Failure("There is no candidate to promote: materialise eta_model first.", allow_retries=False)
    version = versions[-1]
    verdicts = evaluate_gates(models, version)
    failed = {name: verdict.why for name, verdict in verdicts.items() if not verdict.passed}
    if failed:
        reason = "\n".join(f"{name}: {why}" for name, why in failed.items())
        for name, why in failed.items():
            models.record_rejection(version, f"{name}: {why}")
        raise Failure(f"{version} was not promoted. {reason}", allow_retries=False)
    before = models.champion()
    if before is None or before.version != version:
        why = context.run.tags.get("logitrack/reason", "newest candidate")
        models.promote(
            version, by=f"dagster run {context.run.run_id} ({getpass.getuser()})", reason=f"{why}; checks passed"
        )
    manifest = models.manifest(version)
    return MaterializeResult(
        metadata={
            "version": version,
            "previous": before.version if before else "none",
            "trained_through": manifest.trained_through,
            "mae_minutes": round(manifest.metrics.mae_minutes, 4),
            "verdicts": MetadataValue.md(
                markdown_table(("check", "finding"), [(n, v.why) for n, v in verdicts.items()])
            ),
        },
    )


assets = [eta_model, eta_champion, eta_drift]
