"""The champion as this worker serves it: noticed within a second, tried before it is trusted, swapped in one step."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.eta.artifact import MANIFEST, ArtifactError, Predictor, sha256
from logitrack_assets.eta.registry import Champion, ModelRegistry
from logitrack_service.http.problems import problem
from logitrack_service.observability import memory, metrics
from logitrack_service.predictions.promotions import record_promotions

POLL_SECONDS = 1.0
RETRY_SECONDS = 10.0  # a champion that did not load may have been a full disk

log = structlog.get_logger("logitrack.model")
audit_log = structlog.get_logger("logitrack.audit")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that answers, and how it came to. One loaded again is another."""

    artifact: Predictor
    champion: Champion
    loaded_at: float  # Unix seconds


class ModelReloader:
    """Follows the champion pointer."""

    def __init__(self, folder: Path, database: AsyncEngine) -> None:
        self._store = ModelRegistry(folder)
        self._database = database
        self._serving: LoadedModel | None = None
        self._seen: tuple[int, int, int] | None = None
        self._retry_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.last_error: str | None = None
        """Why the newest champion is not served, as a sentence; None when it is."""

    @property
    def store(self) -> ModelRegistry:
        """The versions on disk."""
        return self._store

    @property
    def current(self) -> LoadedModel | None:
        """What is served, if anything."""
        return self._serving

    def serving(self) -> LoadedModel:
        """What is served.

        Raises:
            HTTPException: 503 while there is no champion.
        """
        if self._serving is None:
            raise problem(
                503,
                self.last_error
                or "There is no champion yet: once a model has been trained and promoted, this answers.",
                headers={"Retry-After": "5"},
            )
        return self._serving

    async def start(self) -> None:
        """Loads the champion, if there is one, and begins to watch."""
        await self.poll()
        self._tasks = [
            asyncio.create_task(self._watch(), name="champion"),
            asyncio.create_task(self._write_down(), name="promotions"),
        ]

    async def stop(self) -> None:
        """Stops watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def poll(self) -> None:
        """Loads the champion if the pointer has changed, or if the last attempt failed a while ago."""
        mark = self._mark()
        if mark == self._seen and not (self.last_error and time.monotonic() >= self._retry_at):
            return
        try:
            await asyncio.to_thread(self._load)
            await asyncio.to_thread(memory.trim_heap)
            self._seen, self.last_error = mark, None
        except Exception as error:  # whatever is wrong with it, the old one goes on serving
            self._seen, self._retry_at = mark, time.monotonic() + RETRY_SECONDS
            self.last_error = f"The champion cannot be loaded: {error}"
            metrics.model_reload_failures.inc()
            log.error("model_not_loaded", reason=str(error), still_serving=self._version())

    def _load(self) -> None:
        champion = self._store.champion()
        if champion is None:
            return  # a pointer that vanished takes nothing away from who serves
        before = self._serving
        if before is not None and before.champion.version == champion.version:
            artifact = before.artifact
        else:
            if sha256(self._store.path(champion.version) / MANIFEST) != champion.manifest_sha256:
                raise ArtifactError(f"the manifest of {champion.version} is not the one that was promoted")
            artifact = self._store.load(champion.version)
        self._serving = LoadedModel(artifact, champion, time.time())
        if before is not None:
            metrics.model_serving.labels(before.champion.version).set(0)
        metrics.model_serving.labels(champion.version).set(1)
        metrics.model_loaded_at.set(time.time())
        metrics.model_promoted_at.set(champion.promoted_at.timestamp())
        log.info("model_serving", version=champion.version, before=before.champion.version if before else None)
        if before is not None:
            audit_log.info("model_promoted", version=champion.version, by=champion.by, reason=champion.labelled_reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.poll()

    async def _write_down(self) -> None:
        """Keeps the audit table abreast of the history, beside the watch: a database that is away holds nobody up."""
        written: tuple[int, int, int] | None = None
        while True:
            mark = self._mark()
            if mark != written:
                try:
                    await record_promotions(self._database, self._store.history())
                    written = mark
                except (SQLAlchemyError, OSError) as error:
                    log.warning("promotions_not_written_down", reason=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            stat = self._store.champion_file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _version(self) -> str | None:
        return self._serving.champion.version if self._serving else None
