"""The verdicts on a candidate as blocking checks of `eta_model`: where one fails, the champion stays who it is."""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    asset_check,
)

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.drift_asset import drift_check
from logitrack_assets.eta.evaluation.gates import GATES, GateResult
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.settings import get_settings


def _check(name: str) -> AssetChecksDefinition:
    verdict_on = GATES[name]

    @asset_check(
        name=name,
        asset="eta_model",
        blocking=True,
        description=" ".join((verdict_on.__doc__ or "").split()),
    )
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        models = ModelRegistry(get_settings().home / "models")
        versions = models.versions()
        if not versions:
            return AssetCheckResult(passed=False, description="There is no model: materialise eta_model.")
        version = versions[-1]
        try:
            verdict = verdict_on(models, version)
        except (ArtifactError, OSError, ValueError, KeyError) as error:
            verdict = GateResult(False, f"It could not be judged: {error}")
        if not verdict.passed:
            models.record_rejection(version, f"{name}: {verdict.why}")
        return AssetCheckResult(
            passed=verdict.passed,
            severity=AssetCheckSeverity.ERROR,
            description=verdict.why,
            metadata={"version": version, **verdict.facts},
        )

    return check


checks = [*(_check(name) for name in GATES), drift_check]
