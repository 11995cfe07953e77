"""Resources of the model: the registry of versions and the thresholds of monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource
from pydantic import Field

from logitrack_assets.eta.drift import DriftThresholds
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_assets.settings import get_settings


class ModelRegistryResource(ConfigurableResource[Any]):
    """The registry of model versions below the home folder."""

    home: str = Field(description="The home folder.")

    def open(self) -> ModelRegistry:
        """Return the registry."""
        # The key is read here: a field of the resource would show it in Dagster's UI.
        return signed_registry(get_settings(), Path(self.home))


class MonitoringPolicy(ConfigurableResource[Any]):
    """Thresholds of drift and retraining, and when a candidate is served; see the README's table of settings."""

    drift_psi: float
    drift_volume_ratio: float
    drift_error_ratio: float
    live_error_worse_by: float
    retrain_cooldown_hours: float
    promotion: str

    def drift_thresholds(self) -> DriftThresholds:
        """Return the thresholds of drift."""
        return DriftThresholds(
            psi=self.drift_psi, volume_ratio=self.drift_volume_ratio, error_ratio=self.drift_error_ratio
        )
