"""The parts that one worker is made of, and where a handler finds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.settings import Settings
from logitrack_service.analytics.query import AnalystQueries
from logitrack_service.analytics.reports import Reports
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.sessions import Revocations
from logitrack_service.auth.tokens import Tokens
from logitrack_service.database_initializer import DatabaseInitializer
from logitrack_service.predictions.batching import DynamicBatcher
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.settings import ServiceSettings


@dataclass(frozen=True)
class Service:
    """One worker's parts; they live from start-up to shutdown."""

    settings: Settings
    service_settings: ServiceSettings
    database: AsyncEngine
    schema: DatabaseInitializer
    tokens: Tokens
    revocations: Revocations
    accounts: Accounts
    champion: ModelReloader
    prediction_log: PredictionLog
    batcher: DynamicBatcher
    reports: Reports
    queries: AnalystQueries


def service_of(request: Request[Any, Any, Any]) -> Service:
    """The parts of the worker that handles a request."""
    return request.app.state.service
