"""Dagster's own memory of runs, ticks and materialisations: kept in the one PostgreSQL, wherever that is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

from dagster._config import Field
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from logitrack_assets.database import database_url, driver_url
from logitrack_assets.settings import Settings, get_settings

_PACKAGE = Path(__file__).parent


def config_file(name: str) -> Path:
    """Return the path of `dagster.yaml` or `workspace.yaml`.

    Both lie at the top level of the repository. The build copies them into the wheel as package data, because an
    installed package has no repository beside it (`force-include` in pyproject.toml).
    """
    packaged = _PACKAGE / "instance_config" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


class LogitrackStorage(DagsterPostgresStorage):
    """Dagster's storage for PostgreSQL at the address that our settings give.

    Named in `dagster.yaml`, so that every Dagster process, also one started by hand, finds the embedded server
    and keeps it running while it lives. dagster-postgres ships psycopg2, hence the driver.
    """

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> LogitrackStorage:
        return cls(postgres_url=driver_url(database_url(get_settings()), "psycopg2"), inst_data=inst_data)


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What Dagster's commands need in their environment to work on our instance; writes its `dagster.yaml`.

    The file is a copy of the project's: Dagster wants it in DAGSTER_HOME, and a person wants it beside the code.
    """
    home = settings.home / "dagster"
    (home / "compute_logs").mkdir(parents=True, exist_ok=True)
    staged = home / f".dagster.yaml.{os.getpid()}"
    copyfile(config_file("dagster.yaml"), staged)
    staged.replace(home / "dagster.yaml")
    return {
        "DAGSTER_HOME": str(home),
        "LOGITRACK_HOME": str(settings.home),
        "LOGITRACK_COMPUTE_LOGS": str(home / "compute_logs"),
        "LOGITRACK_SPARK_RUNS": str(settings.spark_runs),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
