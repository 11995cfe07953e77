"""GET /predictions/{id}: a past answer with what it was made of."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from logitrack_assets.eta.artifact import ArtifactError, Manifest, Predictor
from logitrack_assets.eta.explanation import LoggedAnswer, explain_contributions, read_answer
from logitrack_assets.nyc_calendar import from_wall_clock
from logitrack_service.auth.roles import includes_role
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import NotFoundError, UnavailableError
from logitrack_service.http.openapi import problem_responses
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.schemas import Interval

MAX_LOADED_VERSIONS = 2  # former champions kept in memory for explanations


class TrainingFile(msgspec.Struct):
    """A file that the model was trained on, and the version of its valid trips."""

    month: str
    fleet: str
    trips: int
    bronze_sha256: str | None
    silver_version: str | None


class RecordedOutcome(msgspec.Struct):
    """The reported duration. `counted` tells whether it is learned from, `implausible_reason` why it cannot be true."""

    duration_minutes: float
    reported_at: datetime
    counted: bool
    implausible_reason: str | None


class AnswerContributions(msgspec.Struct):
    """Minutes that add up to the answer: each is what its cause changes after those before it.

    `route` is the mean over the hours of the week without recent traffic.
    """

    route: float
    time: float
    recent_traffic: float
    distance: float
    live_correction: float


class PredictionRecord(msgspec.Struct):
    """A past answer: what was asked and answered, by what, and why.

    `live_position` is the number of the outcome up to which the live state had learned, null without one. `training`
    and `contributions` are null where the files of the version are no longer kept.
    """

    prediction_id: str
    asked_at: datetime
    pickup_zone: int
    dropoff_zone: int
    pickup_at: datetime
    distance_miles: float | None
    fleet: str
    estimated_duration_minutes: float
    base_duration_minutes: float | None
    interval: Interval
    support: int
    extrapolating: bool
    model_version: str
    live_position: int | None
    training: list[TrainingFile] | None
    contributions: AnswerContributions | None
    outcome: RecordedOutcome | None


class PredictionRecords:
    """Reads past answers."""

    def __init__(self, dsn: str, model_reloader: ModelReloader) -> None:
        self._dsn, self._model_reloader = dsn, model_reloader
        self._load_former = lru_cache(maxsize=MAX_LOADED_VERSIONS)(model_reloader.registry.load)

    async def find(self, prediction_id: str, *, reader: Identity) -> PredictionRecord:
        """Return an answer of the reader's account, for admins of any account.

        Raises:
            NotFoundError: There is none; it is written to the log within a second.
            UnavailableError: PostgreSQL does not answer.
        """
        return await asyncio.to_thread(self._find, prediction_id, reader)

    def _find(self, prediction_id: str, reader: Identity) -> PredictionRecord:
        try:
            with psycopg.connect(self._dsn, connect_timeout=3, options="-c timezone=UTC") as connection:
                answer = read_answer(connection, prediction_id)
        except psycopg.OperationalError:
            raise UnavailableError("PostgreSQL does not respond.", retry_after_seconds=5) from None
        is_admin = includes_role(reader.role, "admin")
        if answer is None or not (is_admin or answer.account_id == reader.account_id):
            raise NotFoundError("There is no such prediction of this account.")
        return _record(answer, self._predictor(answer.model_version))

    def _predictor(self, version: str) -> Predictor | None:
        """Return the predictor of a version, None if its files are gone."""
        current = self._model_reloader.current
        if current is not None and current.predictor.version == version:
            return current.predictor
        try:
            return self._load_former(version)
        except ArtifactError:
            return None


def _record(answer: LoggedAnswer, predictor: Predictor | None) -> PredictionRecord:
    contributions = None
    if predictor is not None:
        contributions = AnswerContributions(**vars(explain_contributions(predictor, answer)))
    return PredictionRecord(
        prediction_id=answer.prediction_id,
        asked_at=answer.asked_at,
        pickup_zone=answer.pickup_zone,
        dropoff_zone=answer.dropoff_zone,
        pickup_at=from_wall_clock(answer.pickup_at),
        distance_miles=answer.distance_miles,
        fleet=answer.fleet,
        estimated_duration_minutes=round(answer.duration_minutes, 2),
        base_duration_minutes=None if answer.base_minutes is None else round(answer.base_minutes, 2),
        interval=Interval(round(answer.low_minutes, 2), round(answer.high_minutes, 2), answer.level),
        support=answer.support,
        extrapolating=answer.extrapolating,
        model_version=answer.model_version,
        live_position=answer.live_position,
        training=_training_files(predictor.manifest) if predictor is not None else None,
        contributions=contributions,
        outcome=_outcome(answer),
    )


def _training_files(manifest: Manifest) -> list[TrainingFile]:
    return [
        TrainingFile(month.month, month.fleet, month.trips, month.bronze_sha256, month.silver_version)
        for month in manifest.training
    ]


def _outcome(answer: LoggedAnswer) -> RecordedOutcome | None:
    if answer.real_minutes is None or answer.reported_at is None:
        return None
    return RecordedOutcome(answer.real_minutes, answer.reported_at, bool(answer.counted), answer.implausible_reason)


@get(
    "/predictions/{prediction_id:uuid}",
    responses=problem_responses(NotFoundError, UnavailableError),
    summary="Get a past prediction",
    tags=["predictions"],
)
async def get_prediction(
    request: Request[Identity, Any, Any],
    prediction_id: FromPath[UUID],
    prediction_records: NamedDependency[PredictionRecords],
) -> PredictionRecord:
    """Return what was asked and answered, by which model and live state, and what the answer is made of.

    Accounts see their own predictions, admins all of them. `logitrack explain ID --recompute` computes the same numbers
    again.
    """
    return await prediction_records.find(str(prediction_id), reader=request.user)
