"""Preparation of a command that runs Dagster: settings, Java, disk, database and environment."""

from __future__ import annotations

import os

from logitrack_assets.commands.requirements import require_disk, require_java
from logitrack_assets.database import migrated_database_url
from logitrack_assets.home import load_or_create_instance_id, require_home
from logitrack_assets.instance import dagster_environment
from logitrack_assets.settings import Settings, get_settings


def prepare_instance() -> Settings:
    """Check the machine, migrate the database, set Dagster's environment variables and return the settings.

    Raises:
        LogitrackError: A requirement is not met.
    """
    get_settings.cache_clear()  # options of the command line are environment variables by now
    settings = get_settings()
    require_home(settings.home)
    require_java()
    require_disk(settings.home)
    load_or_create_instance_id(settings.home)
    migrated_database_url(settings)
    os.environ.update(dagster_environment(settings))
    return settings
