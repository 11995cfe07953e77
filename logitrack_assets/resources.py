"""Resources of both domains: lake, warehouse, source, retention and alerts.

Those of the model are in `eta.resources`, because trips must not import the model; `definitions` builds all of them
from the settings. Secrets are not configuration of a resource, because Dagster shows that in its UI:
`WarehouseResource` and `AlertWebhook` read them from the settings when they are used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from dagster import ConfigurableResource
from pydantic import Field

from logitrack_assets.database import database_url
from logitrack_assets.errors import LogitrackError
from logitrack_assets.lake import Lake
from logitrack_assets.settings import get_settings
from logitrack_assets.warehouse import Warehouse

WEBHOOK_TIMEOUT_SECONDS = 10

logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, and that of the webhook can hold a token


class AlertError(LogitrackError):
    """The webhook did not accept an alert."""


class LakeResource(ConfigurableResource[Any]):
    """The lake below the home folder."""

    home: str = Field(description="The home folder.")

    def open(self, report: Callable[[str], None] | None = None) -> Lake:
        """Return the lake after finishing interrupted publications; `report` receives one line for each."""
        lake = Lake(Path(self.home))
        for name in lake.recover():
            if report is not None:
                report(f"{name}: an interrupted publication was finished")
        return lake


class WarehouseResource(ConfigurableResource[Any]):
    """The warehouse tables in PostgreSQL. Their schema is migrated when the process starts."""

    def url(self) -> str:
        """Return the database address for SQLAlchemy; start the embedded server where no address is set."""
        return database_url(get_settings())

    def open(self) -> Warehouse:
        """Return the warehouse."""
        return Warehouse(self.url())


class RetentionPolicy(ConfigurableResource[Any]):
    """Days for which records are kept."""

    keep_runs_days: int = Field(description="Days that finished runs and their logs are kept.")
    keep_requests_days: int = Field(description="Days that predictions, outcomes and audit events are kept.")


class AlertWebhook(ConfigurableResource[Any]):
    """The webhook of LOGITRACK_ALERT_WEBHOOK, when it is set."""

    def post(self, text: str) -> None:
        """Post an alert; do nothing when no webhook is set.

        Raises:
            AlertError: The webhook did not accept it. The message does not contain the address, which can hold a token.
        """
        address = get_settings().alert_webhook
        if address is None:
            return
        try:
            response = httpx2.post(address.get_secret_value(), json={"text": text}, timeout=WEBHOOK_TIMEOUT_SECONDS)
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise AlertError(
                f"The alert could not be posted ({type(error).__name__}).", hint="Check LOGITRACK_ALERT_WEBHOOK."
            ) from None
