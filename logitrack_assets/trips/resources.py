"""Resource of the trips: the source of trip files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagster import ConfigurableResource
from pydantic import Field

from logitrack_assets.trips.source import Source


class TlcSource(ConfigurableResource[Any]):
    """The source of trip files."""

    base_url: str = Field(description="`https://`, `http://`, `file://` or a folder.")
    fleets: list[str] = Field(description="Fleets to load.")
    sample_rows_per_month: int = Field(description="Trips of a month and fleet that analytics_sample keeps.")

    def open(self, report: Callable[[str], None], *, attempts: int = 5, timeout_seconds: float = 30.0) -> Source:
        """Return the source; `report` receives progress lines."""
        return Source(self.base_url, attempts=attempts, timeout_seconds=timeout_seconds, report=report)
