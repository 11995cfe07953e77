"""The sensor that compares the challenger with the champion."""

from __future__ import annotations

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from logitrack_assets.eta.resources import ModelRegistryResource
from logitrack_assets.eta.shadow import ShadowFile
from logitrack_assets.resources import WarehouseResource


@sensor(
    name="compare_challenger",
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Compares a challenger with the champion on outcomes, and promotes it on evidence; after a promotion "
    "it compares the former champion, and takes the promotion back when that was better.",
)
def compare_challenger(
    context: SensorEvaluationContext, registry: ModelRegistryResource, warehouse: WarehouseResource
) -> SkipReason:
    """Compare the outcomes that came in since the last tick."""
    shadow_file = ShadowFile(registry.open())
    before = shadow_file.read()
    with warehouse.open().connect() as connection:
        shadow = shadow_file.advance(connection)
    if shadow is None:
        return SkipReason("No version is in shadow.")
    if shadow.result and (before is None or before.result is None):
        context.log.info(shadow.summary)
    return SkipReason(f"{shadow.summary}.")
