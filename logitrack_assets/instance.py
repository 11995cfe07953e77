"""Dagster's instance: its storage in PostgreSQL and the environment of its commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster._config import Field
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from logitrack_assets.database import driver_url, migrated_database_url
from logitrack_assets.files import make_private_folder, write_atomic
from logitrack_assets.settings import Settings, get_settings

DEFINITIONS_MODULE = "logitrack_assets.definitions"
LOCATION_NAME = "logitrack"
"""Name of the code location, as in `workspace.yaml`."""

_PACKAGE = Path(__file__).parent


def config_file(name: str) -> Path:
    """Return the path of `dagster.yaml` or `workspace.yaml`.

    Both lie at the top level of the repository. The build copies them into the wheel as package data, because an
    installed package has no repository beside it (`force-include` in pyproject.toml).
    """
    packaged = _PACKAGE / "instance_config" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


class LogitrackStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage at the address of the settings.

    `dagster.yaml` names it, so every Dagster process, also one started by hand, finds the embedded server, keeps it
    running, and migrates the schema before assets, checks or sensors use it. dagster-postgres needs psycopg2.
    """

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        """Return the schema of the options in `dagster.yaml`: none."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - part of the interface
    ) -> LogitrackStorage:
        """Return the storage, once the database accepts connections and its schema is current."""
        return cls(postgres_url=driver_url(migrated_database_url(get_settings()), "psycopg2"), inst_data=inst_data)


def job_origin(name: str) -> RemoteJobOrigin:
    """Return where a job of the code location comes from.

    Dagster's UI finds a run on the pages of its job, and can execute it again, by the names in this origin.
    """
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=DEFINITIONS_MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=LOCATION_NAME)
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(name)


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What Dagster's commands need in their environment to work on our instance; writes its `dagster.yaml`.

    The file is a copy of the project's: Dagster wants it in DAGSTER_HOME, and a person wants it beside the code.
    """
    home = settings.home / "dagster"
    make_private_folder(home)
    make_private_folder(home / "compute_logs")
    write_atomic(home / "dagster.yaml", config_file("dagster.yaml").read_bytes())
    return {
        "DAGSTER_HOME": str(home),
        "LOGITRACK_HOME": str(settings.home),
        "LOGITRACK_COMPUTE_LOGS": str(home / "compute_logs"),
        "LOGITRACK_SPARK_RUNS": str(settings.spark_runs),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
