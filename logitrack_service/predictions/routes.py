"""/predict and its kin, /outcomes, /model."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter, RawBody

from logitrack_assets.nyc_calendar import from_wall_clock
from logitrack_service.auth.tokens import Identity
from logitrack_service.dependencies import service_of
from logitrack_service.http.decoding import decode
from logitrack_service.http.problems import FieldProblem, problem
from logitrack_service.predictions import scoring
from logitrack_service.predictions.outcomes import record_outcomes
from logitrack_service.predictions.schemas import (
    BATCH_ROWS,
    DEFAULT_LEVEL,
    FIRST_YEAR,
    LAST_YEAR,
    BatchRequest,
    BatchResponse,
    DeparturesResponse,
    Fleet,
    MatrixRequest,
    MatrixResponse,
    OutcomeBatch,
    OutcomeReport,
    OutcomeResponse,
    PredictionRequest,
    PredictionResponse,
    RawBatchRequest,
    Trip,
)

NDJSON = "application/x-ndjson"
SMALL = 16_384  # bytes
LARGE = 4_000_000  # 10,000 rides of 400 bytes
THREAD_OFFLOAD_ROWS = 200  # rows from which on a batch would hold up the others' answers


@post(
    "/predict",
    status_code=200,
    request_max_body_size=SMALL,
    summary="How long will this ride take?",
    tags=["predictions"],
)
async def predict(request: Request[Identity, Any, Any], data: JSONBody[PredictionRequest]) -> PredictionResponse:
    """Answers with the expected duration, an interval, and what both rest on."""
    service = service_of(request)
    return await service.batcher.ask(service.champion.serving(), data, request.user.account_id)


@post(
    "/predict/batch",
    status_code=200,
    request_max_body_size=LARGE,
    body_schemas=(BatchRequest,),
    summary="Up to 10,000 rides at once",
    tags=["predictions"],
)
async def predict_batch(request: Request[Identity, Any, Any], body: RawBody) -> BatchResponse:
    """Answers each ride by itself: one that is wrong gets its own errors, the others their answers.

    As JSON `{"trips": [...]}`, or as NDJSON (`application/x-ndjson`) with a ride on each line.
    """
    service = service_of(request)
    serving = service.champion.serving()
    if request.content_type[0] == NDJSON:
        rows: list[Any] = [line for line in body.split(b"\n") if line.strip()]
        level = DEFAULT_LEVEL
        if not 1 <= len(rows) <= BATCH_ROWS:
            raise problem(422, f"A batch has 1 to {BATCH_ROWS:,} rides; this one has {len(rows):,}.")
    else:
        batch = decode(body, RawBatchRequest)
        rows, level = batch.trips, batch.level

    def work() -> tuple[BatchResponse, Any]:
        return scoring.predict_batch_rows(serving, rows, level=level, account_id=request.user.account_id)

    answer, logged = await asyncio.to_thread(work) if len(rows) > THREAD_OFFLOAD_ROWS else work()
    if logged is not None:
        service.prediction_log.add(logged)
    return answer


@post(
    "/predict/matrix", status_code=200, request_max_body_size=SMALL, summary="Every pair of zones", tags=["predictions"]
)
async def predict_matrix(request: Request[Identity, Any, Any], data: JSONBody[MatrixRequest]) -> MatrixResponse:
    """Durations between up to 100 pickup and 100 drop-off zones at one time. A matrix is not logged."""
    serving = service_of(request).champion.serving()
    if len(data.pickup_zones) * len(data.dropoff_zones) > THREAD_OFFLOAD_ROWS:
        return await asyncio.to_thread(scoring.predict_matrix_pairs, serving, data)
    return scoring.predict_matrix_pairs(serving, data)


@get("/predict/departures", summary="When to leave", tags=["predictions"])
async def departures(
    request: Request[Identity, Any, Any],
    pickup_zone: Annotated[int, QueryParameter(ge=1, le=263)],
    dropoff_zone: Annotated[int, QueryParameter(ge=1, le=263)],
    pickup_at: FromQuery[datetime | None] = None,
    hours: Annotated[int, QueryParameter(ge=1, le=24)] = 6,
    every_minutes: Annotated[int, QueryParameter(ge=5, le=60)] = 15,
    probability: Annotated[float, QueryParameter(ge=0.75, le=0.975)] = 0.9,
    arrive_by: FromQuery[datetime | None] = None,
    distance_miles: Annotated[float | None, QueryParameter(gt=0, le=200)] = None,
    fleet: FromQuery[Fleet] = "yellow",
) -> DeparturesResponse:
    """How the duration changes over the next hours; with `arrive_by`, the latest departure that is on time with the
    wanted probability."""
    for name, moment in (("pickup_at", pickup_at), ("arrive_by", arrive_by)):
        if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
            wrong = FieldProblem(name, f"This lies outside the years {FIRST_YEAR} to {LAST_YEAR}.")
            raise problem(422, "Some values are not valid.", errors=[wrong])
    trip = Trip(pickup_zone, dropoff_zone, pickup_at, distance_miles, fleet)
    serving = service_of(request).champion.serving()
    found = scoring.predict_departures(
        serving,
        trip,
        every_minutes=every_minutes,
        count=hours * 60 // every_minutes + 1,
        probability=probability,
    )
    by = None
    if arrive_by is not None:
        by = arrive_by if arrive_by.tzinfo else from_wall_clock(arrive_by)
    return DeparturesResponse(
        departures=found,
        probability=probability,
        leave_by=scoring.leave_by(found, by) if by else None,
        arrive_by=by,
        model_version=serving.champion.version,
    )


@post(
    "/outcomes",
    status_code=200,
    request_max_body_size=LARGE,
    body_schemas=(OutcomeReport, OutcomeBatch),
    summary="How long did it really take?",
    tags=["predictions"],
)
async def outcomes(request: Request[Identity, Any, Any], body: RawBody) -> OutcomeResponse:
    """Records real durations by prediction id; what was answered with 2xx is on disk. Reporting again changes nothing.

    Takes one outcome, or `{"outcomes": [...]}` with up to 10,000. The first report of an outcome stands: a different
    one for the same id is named as conflicting, alone it is answered with 409.
    """
    single = not _has_outcomes(body)
    reports = [decode(body, OutcomeReport)] if single else decode(body, OutcomeBatch).outcomes
    service = service_of(request)
    answer = await record_outcomes(service.database, reports, account_id=request.user.account_id)
    if single and answer.conflicting:
        raise problem(409, "Another duration has been reported for this prediction before; the first one stands.")
    return answer


def _has_outcomes(body: bytes) -> bool:
    try:
        return "outcomes" in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False  # decoding it properly says what is wrong


@get("/model", summary="The model that answers", tags=["model"])
async def model(request: Request[Identity, Any, Any]) -> dict[str, Any]:
    """The card of the champion: metrics, months, features, intervals."""
    serving = service_of(request).champion.serving()
    return {
        "model_version": serving.champion.version,
        "champion": serving.champion.model_dump(mode="json"),
        "loaded_at": datetime.fromtimestamp(serving.loaded_at, UTC),
        "card": serving.artifact.manifest.model_dump(mode="json"),
    }


@get("/models", summary="Champions, newest first", tags=["model"])
async def models(request: Request[Identity, Any, Any]) -> dict[str, Any]:
    """Every champion there was: who promoted it, when and why."""
    watch = service_of(request).champion
    history = await asyncio.to_thread(watch.store.history)
    return {
        "serving": watch.current.champion.version if watch.current else None,
        "trouble": watch.last_error,
        "history": [champion.model_dump(mode="json") for champion in reversed(history)],
    }


routes = [predict, predict_batch, predict_matrix, departures, outcomes, model, models]
