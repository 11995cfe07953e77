"""Components of one worker process: how they are built, started, stopped and injected into handlers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from litestar.di import Provide

from logitrack_assets.database import psycopg_dsn
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_assets.home import load_or_create_instance_id
from logitrack_assets.settings import Settings
from logitrack_service.analytics.analyst_role import analyst_login
from logitrack_service.analytics.analyst_watchdog import AnalystWatchdog
from logitrack_service.analytics.query import AnalystQueries
from logitrack_service.analytics.reports import Reports
from logitrack_service.auth.accounts import Accounts
from logitrack_service.auth.administration import AccountAdministration
from logitrack_service.auth.browser_sessions import BrowserSessions
from logitrack_service.auth.guards import Authenticator
from logitrack_service.auth.keys import Keys
from logitrack_service.auth.login import LoginService
from logitrack_service.auth.password_change import PasswordChanger
from logitrack_service.auth.passwords import Passwords
from logitrack_service.auth.revocations import Revocations
from logitrack_service.auth.session_control import SessionControl
from logitrack_service.auth.sessions import session_policy
from logitrack_service.auth.tokens import Tokens
from logitrack_service.console.files import ConsoleFiles
from logitrack_service.database import connect
from logitrack_service.database_initializer import DatabaseInitializer
from logitrack_service.observability.health import HealthCheck, Liveness, ReadinessProbe, check_database
from logitrack_service.predictions.batching import DynamicBatcher
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_service.predictions.live_correction import LiveCorrection
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.outcomes import OutcomeRecorder
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.predictions.quotas import PredictionQuotas
from logitrack_service.predictions.records import PredictionRecords
from logitrack_service.settings import ServiceSettings

MAX_REVOCATIONS_AGE_SECONDS = 20.0


class Components:
    """The long-lived components of one worker process.

    Only the application factory uses this class: handlers receive the single components that they declare as
    parameters, guards and middleware receive theirs as arguments.
    """

    def __init__(self, settings: Settings, service_settings: ServiceSettings, keys: Keys, url: str) -> None:
        """Build the components without starting them.

        Args:
            settings: settings that the service shares with the assets.
            service_settings: settings of the service alone.
            keys: keys that sign access tokens.
            url: SQLAlchemy URL of the database.
        """
        analyst = analyst_login(url, keys, service_settings)
        self.settings = settings
        self.service_settings = service_settings
        self.liveness = Liveness(instance=load_or_create_instance_id(settings.home))
        self.engine = connect(url)
        self.passwords = Passwords(service_settings)
        self.tokens = Tokens(keys, minutes=service_settings.access_token_minutes)
        self.revocations = Revocations(psycopg_dsn(url), token_seconds=self.tokens.seconds)
        policy = session_policy(service_settings)
        browser_sessions = BrowserSessions(self.engine, policy, cache_seconds=self.tokens.seconds)
        self.authenticator = Authenticator(self.tokens, self.revocations, browser_sessions)
        self.accounts = Accounts(self.engine, self.passwords)
        self.account_administration = AccountAdministration(self.engine, self.passwords, self.revocations)
        self.login_service = LoginService(self.engine, self.passwords, self.revocations, policy)
        self.session_control = SessionControl(self.engine, self.revocations, policy)
        self.password_changer = PasswordChanger(self.engine, self.passwords, self.revocations)
        self.database_initializer = DatabaseInitializer(url, analyst, service_settings)
        self.live_correction = LiveCorrection(psycopg_dsn(url), lambda: self.model_reloader.current)
        self.model_reloader = ModelReloader(signed_registry(settings), self.engine, self.live_correction.prepare)
        self.prediction_records = PredictionRecords(psycopg_dsn(url), self.model_reloader)
        self.prediction_ids = PredictionIds(keys)
        self.quotas = PredictionQuotas(
            max_daily=service_settings.daily_predictions, max_open=service_settings.open_predictions
        )
        self.prediction_log = PredictionLog(psycopg_dsn(url), self.quotas)
        self.batcher = DynamicBatcher(self.model_reloader, self.prediction_log, self.prediction_ids, self.quotas)
        self.outcome_recorder = OutcomeRecorder(self.engine, self.prediction_ids, self.quotas)
        self.reports = Reports(self.engine)
        self.analyst_watchdog = AnalystWatchdog(self.engine)
        self.console_files = ConsoleFiles()
        self.analyst_queries = AnalystQueries(analyst, self.engine, service_settings)
        self.readiness_probe = ReadinessProbe(
            {
                "model": self.model_reloader.check_health,
                "database": lambda: check_database(self.engine),
                "migrations": self.database_initializer.check_health,
                "revocations": lambda: check_revocations(self.revocations),
            },
            model_version=self.model_reloader.version,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the components; on exit stop them in reverse order, which flushes the queued predictions."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.engine.dispose)
            stack.callback(self.passwords.close)
            for component in (
                self.database_initializer,
                self.revocations,
                self.model_reloader,
                self.live_correction,
                self.analyst_watchdog,
            ):
                await component.start()
                stack.push_async_callback(component.stop)
            stack.push_async_callback(self.analyst_queries.stop)
            self.prediction_log.start()
            stack.push_async_callback(asyncio.to_thread, self.prediction_log.stop)
            yield

    def providers(self) -> dict[str, Provide]:
        """Return the providers by parameter name, one for each component that handlers may declare."""
        return {
            "account_administration": _provide(self.account_administration),
            "accounts": _provide(self.accounts),
            "analyst_queries": _provide(self.analyst_queries),
            "batcher": _provide(self.batcher),
            "console_files": _provide(self.console_files),
            "engine": _provide(self.engine),
            "liveness": _provide(self.liveness),
            "login_service": _provide(self.login_service),
            "model_reloader": _provide(self.model_reloader),
            "outcome_recorder": _provide(self.outcome_recorder),
            "password_changer": _provide(self.password_changer),
            "prediction_ids": _provide(self.prediction_ids),
            "prediction_log": _provide(self.prediction_log),
            "prediction_records": _provide(self.prediction_records),
            "quotas": _provide(self.quotas),
            "readiness_probe": _provide(self.readiness_probe),
            "reports": _provide(self.reports),
            "revocations": _provide(self.revocations),
            "service_settings": _provide(self.service_settings),
            "session_control": _provide(self.session_control),
            "settings": _provide(self.settings),
            "tokens": _provide(self.tokens),
        }


async def check_revocations(revocations: Revocations) -> HealthCheck:
    """Return whether the list of revoked sessions has been read recently."""
    if time.monotonic() - revocations.read_at > MAX_REVOCATIONS_AGE_SECONDS:
        return HealthCheck(
            "degraded", "Revocations have not been read recently; sessions revoked before that are refused."
        )
    return HealthCheck("ok")


def _provide(component: Any) -> Provide:
    return Provide(lambda: component, sync_to_thread=False)
