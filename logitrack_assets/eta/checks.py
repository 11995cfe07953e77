"""The verdicts on a candidate as blocking checks of `eta_model`: where one fails, the champion stays who it is."""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    asset_check,
)

from logitrack_assets.eta.artifact.predictor import ArtefactError
from logitrack_assets.eta.drift_asset import drift_check
from logitrack_assets.eta.evaluation.gates import VERDICTS, Verdict
from logitrack_assets.eta.registry import ModelStore
from logitrack_assets.settings import get_settings


def _check(name: str) -> AssetChecksDefinition:
    verdict_on = VERDICTS[name]

    @asset_check(
        name=name,
        asset="eta_model",
        blocking=True,
        description=" ".join((verdict_on.__doc__ or "").split()),
    )
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        models = ModelStore(get_settings().home / "models")
        versions = models.versions()
        if not versions:
            return AssetCheckResult(passed=False, description="There is no model: materialise eta_model.")
        version = versions[-1]
        try:
            verdict = verdict_on(models, version)
        except (ArtefactError, OSError, ValueError, KeyError) as error:
            verdict = Verdict(False, f"It could not be judged: {error}")
        if not verdict.passed:
            models.reject_candidate(version, f"{name}: {verdict.why}")
        return AssetCheckResult(
            passed=verdict.passed,
            severity=AssetCheckSeverity.ERROR,
            description=verdict.why,
            metadata={"version": version, **verdict.facts},
        )

    return check


checks = [*(_check(name) for name in VERDICTS), drift_check]
