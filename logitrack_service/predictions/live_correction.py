"""Live correction in one worker: learns the outcomes that all workers report, within a second.

A thread listens for notices of new outcomes and looks by itself every second, gives outcomes their places in the
sequence (under a lock of PostgreSQL, so any worker may), learns those after its own position and publishes the new
state by one assignment. Requests read it without a lock; nothing they read ever changes. While PostgreSQL is down, the
last state goes on to correct and fades.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import Adjuster, Predictor
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live_store import (
    LiveSnapshot,
    advance_snapshot,
    assign_positions,
    begin_snapshot,
    save_snapshot_if_due,
)
from logitrack_service.observability import metrics

if TYPE_CHECKING:
    from logitrack_service.predictions.model_reloader import LoadedModel

CHANNEL = "logitrack_live"
POLL_SECONDS = 1.0
UNDECIDED_SECONDS = 0.2  # until the log of predictions has written its queue
PAUSE_SECONDS = 0.05  # between two rounds, so that a flood of outcomes leaves the processor to requests
RECONNECT_SECONDS = 1.0
STOP_SECONDS = 5.0
PREPARE_ROUNDS = 30  # outcomes that a new champion learns before it answers: 30,000

log = structlog.get_logger("logitrack.live")


class LiveModel:
    """The live state of a loaded model.

    Attributes:
        snapshot: What corrects its answers; None until PostgreSQL has been reached.
    """

    def __init__(self, snapshot: LiveSnapshot | None = None) -> None:
        self.snapshot = snapshot

    def adjuster(self, asked_at: datetime, trips: TripBatch) -> tuple[Adjuster | None, int | None]:
        """Return what corrects the answers to questions, and the position of its state; None without a state."""
        snapshot = self.snapshot
        if snapshot is None:
            return None, None
        return snapshot.state.question_adjuster(asked_at, trips), snapshot.position


class LiveCorrection:
    """Keeps the live state of the loaded model current."""

    def __init__(self, dsn: str, current: Callable[[], LoadedModel | None]) -> None:
        """Create it without starting the thread.

        Args:
            dsn: Address of the database, as psycopg takes it.
            current: Returns the loaded model.
        """
        self._dsn = dsn
        self._current = current
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-correction", daemon=True)

    async def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def prepare(self, predictor: Predictor) -> LiveModel:
        """Return the live state of a model that is about to be loaded, so that its first answers are corrected.

        Without PostgreSQL it is empty, and the thread fills it later.
        """
        try:
            with self._connect() as connection:
                snapshot = begin_snapshot(connection, predictor.version)
                for _ in range(PREPARE_ROUNDS):
                    later = advance_snapshot(connection, predictor, snapshot)
                    if later is snapshot:
                        break
                    snapshot = later
                return LiveModel(snapshot)
        except (psycopg.Error, LogitrackError) as error:
            log.warning("live_state_not_prepared", version=predictor.version, error=str(error).splitlines()[0])
            return LiveModel()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, OSError, LogitrackError) as error:
                log.warning("live_correction_waiting", error=str(error).partition("\n")[0] or type(error).__name__)
            self._stopping.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        with self._connect() as connection:
            connection.execute(f"listen {CHANNEL}")
            while not self._stopping.is_set():
                undecided = assign_positions(connection)
                if self._learn(connection):
                    self._stopping.wait(PAUSE_SECONDS)
                    continue
                for _ in connection.notifies(timeout=UNDECIDED_SECONDS if undecided else POLL_SECONDS, stop_after=1):
                    pass

    def _learn(self, connection: psycopg.Connection[Any]) -> bool:
        """Learn the next outcomes; return whether there were any."""
        model = self._current()
        if model is None:
            return False
        version, before = model.predictor.version, model.live.snapshot
        if before is None:
            before = model.live.snapshot = begin_snapshot(connection, version)
        after = advance_snapshot(connection, model.predictor, before)
        if after is not before:
            model.live.snapshot = after
            save_snapshot_if_due(connection, version, after)
            _report(version, before, after)
        return after is not before

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=3,
            application_name="logitrack-live",
            options="-c statement_timeout=10s -c timezone=UTC",
        )


def _report(version: str, before: LiveSnapshot, after: LiveSnapshot) -> None:
    """Count what was learned, and log a switch that moved."""
    metrics.live_outcomes.inc(after.state.learned - before.state.learned)
    metrics.live_excluded_accounts.set(len(after.state.accounts.excluded))
    for variant, state in after.state.variants.items():
        metrics.live_enabled.labels(variant.value).set(state.safety.enabled)
        metrics.live_difference_minutes.labels(variant.value).set(state.safety.mean_difference_minutes)
        if state.safety.enabled != before.state.variants[variant].safety.enabled:
            log.warning(
                "live_correction_switched",
                variant=variant.value,
                enabled=state.safety.enabled,
                difference_minutes=round(state.safety.mean_difference_minutes, 3),
                version=version,
            )
