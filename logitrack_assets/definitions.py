"""Everything Dagster knows of logitrack, in one object; assembly only."""

from __future__ import annotations

from dagster import Definitions

from logitrack_assets.settings import get_settings
from logitrack_assets.spark import SparkResource

defs = Definitions(
    resources={"spark": SparkResource.from_settings(get_settings())},
)
