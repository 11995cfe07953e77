"""Hot reload of the champion: polled every second, verified before use, replaced in one assignment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.eta.artifact import MANIFEST, ArtifactError, Predictor, sha256, verify_digests
from logitrack_assets.eta.registry import Champion, ModelRegistry
from logitrack_service.errors import UnavailableError
from logitrack_service.observability import metrics
from logitrack_service.observability.health import HealthCheck
from logitrack_service.observability.memory import trim_heap
from logitrack_service.predictions.live_correction import LiveModel
from logitrack_service.predictions.promotions import record_promotions

POLL_SECONDS = 1.0
RETRY_SECONDS = 10.0  # after a failed load: the cause may be temporary, for example a full disk
RECHECK_SECONDS = 300.0  # between two verifications of the served version's files
NO_CHAMPION = "There is no champion yet: predictions are served once a model has been trained and promoted."
NO_CHAMPION_RETRY_SECONDS = 5

log = structlog.get_logger("logitrack.model")
audit_log = structlog.get_logger("logitrack.audit")

_FileState = tuple[int, int, int]  # inode, modification time in nanoseconds, size in bytes


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory. Compared by identity: the same version loaded twice is two models."""

    predictor: Predictor
    champion: Champion
    loaded_at: float  # Unix seconds
    live: LiveModel = field(default_factory=LiveModel)


class ModelReloader:
    """Keeps the champion of the registry loaded.

    Attributes:
        last_error: why the current champion is not loaded, one sentence; None if it is loaded.
    """

    def __init__(
        self, registry: ModelRegistry, engine: AsyncEngine, prepare_live: Callable[[Predictor], LiveModel]
    ) -> None:
        """Create it without loading anything.

        Args:
            registry: the registry of versions.
            engine: engine of the service's database.
            prepare_live: returns the live state of a model before it is served.
        """
        self.registry = registry
        self._prepare_live = prepare_live
        self.last_error: str | None = None
        self._engine = engine
        self._model: LoadedModel | None = None
        self._seen: _FileState | None = None
        self._retry_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def current(self) -> LoadedModel | None:
        """The loaded model, if any."""
        return self._model

    def require_model(self) -> LoadedModel:
        """Return the loaded model.

        Raises:
            UnavailableError: no model is loaded.
        """
        if self._model is None:
            raise UnavailableError(self.last_error or NO_CHAMPION, retry_after_seconds=NO_CHAMPION_RETRY_SECONDS)
        return self._model

    def version(self) -> str | None:
        """Return the version of the loaded model, None if no model is loaded."""
        return self._model.champion.version if self._model else None

    async def start(self) -> None:
        """Load the champion, if there is one, and start polling."""
        if not self.registry.signs_champions:
            log.warning("champions_not_signed", hint="Set LOGITRACK_REGISTRY_KEY for the assets and the service.")
        await self.poll()
        self._tasks = [
            asyncio.create_task(self._poll_forever(), name="model-reloader"),
            asyncio.create_task(self._record_promotions_forever(), name="promotions"),
        ]

    async def stop(self) -> None:
        """Stop polling."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def poll(self) -> None:
        """Load the champion if the pointer file has changed, or if a failed load is due for a retry."""
        state = self._pointer_state()
        if state == self._seen and not (self.last_error and time.monotonic() >= self._retry_at):
            return
        try:
            await asyncio.to_thread(self._load)
            await asyncio.to_thread(trim_heap)
            self._seen, self.last_error = state, None
        except Exception as error:  # the previous model stays loaded, whatever the cause
            self._seen = state
            self._note_failure(error)

    async def recheck(self) -> None:
        """Verify the files of the loaded version again; a failure is reported until they are as they were promoted."""
        if self._model is None or self.last_error:
            return
        try:
            await asyncio.to_thread(self._verify_files, self._model)
        except (ArtifactError, OSError) as error:
            self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        # Without the message of the error, which contains paths: clients read this without a login.
        self.last_error = f"The champion cannot be loaded ({type(error).__name__}): the log has the reason."
        metrics.model_reload_failures.inc()
        log.error("model_not_loaded", reason=str(error), loaded_version=self.version())

    async def check_health(self) -> HealthCheck:
        """Return whether a model is loaded and whether it is the champion."""
        if self._model is None:
            return HealthCheck("failed", self.last_error or NO_CHAMPION)
        return HealthCheck("degraded", self.last_error) if self.last_error else HealthCheck("ok")

    def _load(self) -> None:
        champion = self.registry.champion()
        if champion is None:
            return  # a deleted pointer leaves the loaded model in place
        previous = self._model
        predictor = self._load_predictor(champion)
        same = previous is not None and previous.predictor is predictor
        live = previous.live if previous is not None and same else self._prepare_live(predictor)
        self._model = LoadedModel(predictor, champion, time.time(), live)
        if previous is not None:
            metrics.model_serving.labels(previous.champion.version).set(0)
        metrics.model_serving.labels(champion.version).set(1)
        metrics.model_loaded_at.set(time.time())
        metrics.model_promoted_at.set(champion.promoted_at.timestamp())
        log.info("model_serving", version=champion.version, before=previous.champion.version if previous else None)
        if previous is not None:
            audit_log.info("model_promoted", version=champion.version, by=champion.by, reason=champion.labelled_reason)

    def _load_predictor(self, champion: Champion) -> Predictor:
        """Return the predictor of a champion; a version that is loaded already is reused.

        Raises:
            ArtifactError: the artifact is invalid or differs from the promoted one.
        """
        if sha256(self.registry.path(champion.version) / MANIFEST) != champion.manifest_sha256:
            raise ArtifactError(f"the manifest of {champion.version} is not the one that was promoted")
        if self._model is not None and self._model.champion.version == champion.version:
            self._verify_files(self._model)
            return self._model.predictor
        return self.registry.load(champion.version)

    def _verify_files(self, model: LoadedModel) -> None:
        """Compare the files of a loaded version with what was promoted.

        Raises:
            ArtifactError: A file is missing or altered.
        """
        folder = self.registry.path(model.champion.version)
        if sha256(folder / MANIFEST) != model.champion.manifest_sha256:
            raise ArtifactError(f"the manifest of {model.champion.version} is not the one that was promoted")
        verify_digests(folder, model.predictor.manifest)

    async def _poll_forever(self) -> None:
        recheck_at = time.monotonic() + RECHECK_SECONDS
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.poll()
            if time.monotonic() >= recheck_at:
                await self.recheck()
                recheck_at = time.monotonic() + RECHECK_SECONDS

    async def _record_promotions_forever(self) -> None:
        """Copy the promotion history to the audit table, in a task of its own: an outage must not delay reloads."""
        recorded: _FileState | None = None
        while True:
            state = self._pointer_state()
            if state != recorded:
                try:
                    await record_promotions(self._engine, self.registry.history())
                    recorded = state
                except (SQLAlchemyError, OSError) as error:
                    log.warning("promotions_not_recorded", reason=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    def _pointer_state(self) -> _FileState | None:
        try:
            stat = self.registry.champion_file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
