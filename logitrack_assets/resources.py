"""What assets, checks and sensors get injected: the lake, the warehouse, the model registry, the source, the policies.

Resources are built from the settings once, in `definitions.py`; nothing below reads a global. Secrets are not resource
configuration, because Dagster shows that in its UI: `WarehouseResource` resolves the database address when opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from logitrack_assets.database import database_url
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.lake import Lake
from logitrack_assets.settings import Settings, get_settings
from logitrack_assets.spark import SparkResource
from logitrack_assets.trips.source import Source
from logitrack_assets.warehouse import Warehouse


class LakeResource(ConfigurableResource):
    """The lake below the home folder."""

    home: str = Field(description="The home folder.")

    def open(self) -> Lake:
        """Return the lake, with interrupted publications finished."""
        lake = Lake(Path(self.home))
        lake.recover()
        return lake


class WarehouseResource(ConfigurableResource):
    """The warehouse tables in PostgreSQL."""

    def url(self) -> str:
        """Return the database address for SQLAlchemy; starts the embedded server where no address is set."""
        return database_url(get_settings())

    def open(self) -> Warehouse:
        """Return the warehouse. Its schema is migrated when the code location starts, not here."""
        return Warehouse(self.url())


class ModelRegistryResource(ConfigurableResource):
    """The registry of model versions below the home folder."""

    home: str = Field(description="The home folder.")

    def open(self) -> ModelRegistry:
        """Return the registry."""
        return ModelRegistry(Path(self.home) / "models")


class TlcSource(ConfigurableResource):
    """Where trip files come from."""

    base_url: str = Field(description="`https://`, `http://`, `file://` or a folder.")
    fleets: list[str] = Field(description="Fleets to load.")
    sample_rows_per_month: int = Field(description="Trips of a month and fleet that analytics_sample keeps.")

    def open(self, report: Callable[[str], None], *, attempts: int = 5, timeout_seconds: float = 30.0) -> Source:
        """Return the source; `report` receives progress lines."""
        return Source(self.base_url, attempts=attempts, timeout_seconds=timeout_seconds, report=report)


class MonitoringPolicy(ConfigurableResource):
    """Thresholds of drift and retraining; see the README's table of settings."""

    drift_psi: float
    drift_volume_ratio: float
    drift_error_ratio: float
    live_error_worse_by: float
    retrain_cooldown_hours: float


def resources_from_settings(settings: Settings) -> dict[str, ConfigurableResource]:
    """Return every resource of the code location by the name that assets ask for."""
    home = str(settings.home)
    return {
        "spark": SparkResource.from_settings(settings),
        "lake": LakeResource(home=home),
        "warehouse": WarehouseResource(),
        "registry": ModelRegistryResource(home=home),
        "source": TlcSource(
            base_url=settings.source_url,
            fleets=list(settings.fleets),
            sample_rows_per_month=settings.sample_rows_per_month,
        ),
        "policy": MonitoringPolicy(
            drift_psi=settings.drift_psi,
            drift_volume_ratio=settings.drift_volume_ratio,
            drift_error_ratio=settings.drift_error_ratio,
            live_error_worse_by=settings.live_error_worse_by,
            retrain_cooldown_hours=settings.retrain_cooldown_hours,
        ),
    }
