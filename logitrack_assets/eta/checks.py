"""Checks of the model: every gate as a blocking check of `eta_model`, and a warning where months drift."""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    asset_check,
)

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.assets import MODEL_VERSION, eta_drift, eta_model
from logitrack_assets.eta.drift_store import read_drifted_months
from logitrack_assets.eta.evaluation.gates import GATES, GateResult, gate_record, gate_rule
from logitrack_assets.eta.gate_records import record_gates
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.resources import ModelRegistryResource
from logitrack_assets.materializations import VERSION, RecordedMaterializations
from logitrack_assets.resources import WarehouseResource


def evaluate_gate(models: ModelRegistry, version: str, name: str) -> GateResult:
    """Return the result of one gate, and record it; a version that cannot be evaluated fails it."""
    try:
        result = GATES[name](models, version)
    except (ArtifactError, OSError, ValueError, KeyError) as error:
        result = GateResult(False, f"It could not be evaluated: {error}")
    record_gates(models, version, [gate_record(name, result)])
    if not result.passed:
        models.record_rejection(version, f"{name}: {result.why}")
    return result


def _gate_check(name: str) -> AssetChecksDefinition:
    @asset_check(name=name, asset=eta_model, blocking=True, description=gate_rule(name))
    def check_gate(context: AssetCheckExecutionContext, registry: ModelRegistryResource) -> AssetCheckResult:
        version = RecordedMaterializations(context.instance, context.run.run_id).text("eta_model", VERSION)
        if version is None:
            return AssetCheckResult(passed=False, description="There is no model. Materialise eta_model first.")
        result = evaluate_gate(registry.open(), version, name)
        return AssetCheckResult(
            passed=result.passed,
            severity=AssetCheckSeverity.ERROR,
            description=result.why,
            metadata={VERSION: version, **result.facts},
        )

    return check_gate


@asset_check(asset=eta_drift)
def no_drift(
    context: AssetCheckExecutionContext, registry: ModelRegistryResource, warehouse: WarehouseResource
) -> AssetCheckResult:
    """Warns where a month after the champion's training months has drifted from what it was trained on."""
    compared = RecordedMaterializations(context.instance, context.run.run_id).own_texts("eta_drift", MODEL_VERSION)
    version = next(iter(compared.values()), None)
    if version is None:
        champion = registry.open().champion()
        if champion is None:
            return AssetCheckResult(passed=True, description="There is no champion yet.")
        version = champion.version
    with warehouse.open().connect() as connection:
        drifted = read_drifted_months(connection, version)
    described = "; ".join(f"{row.month}: {', '.join(row.by_fleet)}" for row in drifted)
    return AssetCheckResult(
        passed=not drifted,
        severity=AssetCheckSeverity.WARN,
        description=described or f"No month after the training months of {version} has drifted.",
        metadata={MODEL_VERSION: version, "months": len(drifted)},
    )


checks = [*(_gate_check(name) for name in GATES), no_drift]
