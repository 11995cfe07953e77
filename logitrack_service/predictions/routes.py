"""/predict, /predict/… and /outcomes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import FromQuery, JSONBody, QueryParameter, RawBody

from logitrack_assets.eta.artifact import DEFAULT_LEVEL
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import ConflictError, FieldError, InvalidFieldsError, RateLimitedError, UnavailableError
from logitrack_service.http.decoding import MAX_LISTED_BYTES, decode, process_body, require_max_count
from logitrack_service.http.openapi import JSON, body_link, problem_responses
from logitrack_service.predictions import scoring
from logitrack_service.predictions.batching import DynamicBatcher
from logitrack_service.predictions.departures import DepartureQuery, compare_departures
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.outcomes import OutcomeRecorder
from logitrack_service.predictions.prediction_log import LoggedPredictions, PredictionLog
from logitrack_service.predictions.quotas import PredictionQuotas
from logitrack_service.predictions.records import get_prediction
from logitrack_service.predictions.schemas import (
    MAX_BATCH_TRIPS,
    MAX_DISTANCE_MILES,
    BatchRequest,
    BatchResponse,
    DeparturesResponse,
    FleetName,
    MatrixRequest,
    MatrixResponse,
    OutcomeBatch,
    OutcomeReport,
    OutcomeResponse,
    PredictionRequest,
    PredictionResponse,
    RawBatchRequest,
    Trip,
    encode_batch,
    out_of_calendar,
)

NDJSON = "application/x-ndjson"
MAX_SMALL_BODY_BYTES = 16_384
MAX_LARGE_BODY_BYTES = 4_000_000  # 10,000 trips of 400 bytes
MAX_BATCH_VALUES = 6 * MAX_BATCH_TRIPS  # the five fields of a trip, and some more in invalid rows
MAX_BATCH_LINES = 2 * MAX_BATCH_TRIPS  # of NDJSON; empty lines are skipped
MAX_OUTCOME_VALUES = 3 * MAX_BATCH_TRIPS
MIN_THREAD_ROWS = 200  # larger batches run in a thread: they would block the event loop for milliseconds

MIDTOWN_TO_JFK = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:30:00"}
EXAMPLE_OUTCOME = {"prediction_id": "0190a2f4-5c3e-7b1d-8a2f-3c4d5e6f7a8b", "duration_minutes": 47.5}

PickupZoneParameter = Annotated[
    int,
    QueryParameter(ge=FIRST_ZONE, le=LAST_ZONE, description="TLC taxi zone.", examples=[Example(value=161)]),
]
DropoffZoneParameter = Annotated[
    int,
    QueryParameter(ge=FIRST_ZONE, le=LAST_ZONE, description="TLC taxi zone.", examples=[Example(value=132)]),
]


@post(
    "/predict",
    status_code=200,
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    request_example={**MIDTOWN_TO_JFK, "level": DEFAULT_LEVEL},
    response_links=body_link(
        "reportOutcomes",
        "Report the actual duration of the predicted trip.",
        prediction_id="$response.body#/prediction_id",
        duration_minutes="$response.body#/estimated_duration_minutes",
    ),
    responses=problem_responses(RateLimitedError, UnavailableError),
    summary="Predict the duration of a trip",
    tags=["predictions"],
)
async def predict_trip(
    request: Request[Identity, Any, Any], data: JSONBody[PredictionRequest], batcher: NamedDependency[DynamicBatcher]
) -> PredictionResponse:
    """Return the estimated duration, a prediction interval and what they are based on."""
    return await batcher.submit(data, request.user.account_id)


@post(
    "/predict/batch",
    status_code=200,
    request_max_body_size=MAX_LARGE_BODY_BYTES,
    request_bodies={JSON: (BatchRequest,), NDJSON: ()},
    request_example={"trips": [MIDTOWN_TO_JFK, {**MIDTOWN_TO_JFK, "distance_miles": 17.5}]},
    responses=problem_responses(RateLimitedError, UnavailableError),
    summary="Predict up to 10,000 trips",
    tags=["predictions"],
)
async def predict_batch(
    request: Request[Identity, Any, Any],
    body: RawBody,
    model_reloader: NamedDependency[ModelReloader],
    prediction_log: NamedDependency[PredictionLog],
    prediction_ids: NamedDependency[PredictionIds],
    quotas: NamedDependency[PredictionQuotas],
) -> Response[BatchResponse]:
    """Return one result for each trip, in the same order; an invalid trip gets an error of its own.

    Send JSON `{"trips": [...]}`, or NDJSON (`application/x-ndjson`) with one trip per line.
    """
    model = model_reloader.require_model()
    content_type = request.content_type[0]
    rows, level = await process_body(body, lambda: _read_batch(content_type, body))
    account_id = request.user.account_id
    quotas.admit(account_id, len(rows))

    def predict() -> tuple[bytes, int, LoggedPredictions | None]:
        response, logged = scoring.predict_batch_rows(
            model, rows, level=level, account_id=account_id, prediction_ids=prediction_ids
        )
        return encode_batch(response), response.failed, logged

    encoded, failed, logged = await asyncio.to_thread(predict) if len(rows) > MIN_THREAD_ROWS else predict()
    quotas.release(account_id, failed)
    if logged is not None:
        prediction_log.add(logged)
    return Response(encoded, media_type=MediaType.JSON)  # type: ignore[arg-type]  # Litestar sends bytes as they are


def _read_batch(content_type: str, body: bytes) -> tuple[list[Any], float]:
    """Return the undecoded rows of a batch and its interval level."""
    if content_type != NDJSON:
        require_max_count(body, b",", MAX_BATCH_VALUES)
        batch = decode(body, RawBatchRequest)
        return batch.trips, batch.level
    require_max_count(body, b"\n", MAX_BATCH_LINES)
    rows = [line for line in body.split(b"\n") if line.strip()]
    if not 1 <= len(rows) <= MAX_BATCH_TRIPS:
        raise InvalidFieldsError([], f"A batch contains 1 to {MAX_BATCH_TRIPS:,} trips; this one has {len(rows):,}.")
    return rows, DEFAULT_LEVEL


@post(
    "/predict/matrix",
    status_code=200,
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    request_example={
        "pickup_zones": [161, 162],
        "dropoff_zones": [132, 138],
        "pickup_at": MIDTOWN_TO_JFK["pickup_at"],
    },
    responses=problem_responses(UnavailableError),
    summary="Predict all pairs of zones",
    tags=["predictions"],
)
async def predict_matrix(
    data: JSONBody[MatrixRequest], model_reloader: NamedDependency[ModelReloader]
) -> MatrixResponse:
    """Return predictions between up to 100 pickup and 100 drop-off zones at one time. They are not logged."""
    model = model_reloader.require_model()
    if len(data.pickup_zones) * len(data.dropoff_zones) > MIN_THREAD_ROWS:
        return await asyncio.to_thread(scoring.predict_matrix_pairs, model, data)
    return scoring.predict_matrix_pairs(model, data)


@get(
    "/predict/departures",
    responses=problem_responses(UnavailableError),
    summary="Compare departure times",
    tags=["predictions"],
)
async def list_departures(
    model_reloader: NamedDependency[ModelReloader],
    pickup_zone: PickupZoneParameter,
    dropoff_zone: DropoffZoneParameter,
    pickup_at: FromQuery[datetime | None] = None,
    hours: Annotated[int, QueryParameter(ge=1, le=24)] = 6,
    every_minutes: Annotated[int, QueryParameter(ge=5, le=60)] = 15,
    probability: Annotated[float, QueryParameter(ge=0.75, le=0.975)] = 0.9,
    arrive_by: FromQuery[datetime | None] = None,
    distance_miles: Annotated[float | None, QueryParameter(gt=0, le=MAX_DISTANCE_MILES)] = None,
    fleet: FromQuery[FleetName | None] = None,
) -> DeparturesResponse:
    """Return predictions for the departure times of the next hours.

    With `arrive_by`, the departure times are those before it, and the response names the latest departure that arrives
    in time with the given probability. `pickup_at` is the earliest departure, the current time if omitted. A time to
    arrive by that has passed, or that no departure reaches, is rejected with 422 and the reason.
    """
    for name, moment in (("pickup_at", pickup_at), ("arrive_by", arrive_by)):
        if moment is not None and (reason := out_of_calendar(moment)):
            raise InvalidFieldsError([FieldError(name, f"This {reason}.")])
    trip = Trip(pickup_zone, dropoff_zone, pickup_at, distance_miles, fleet)
    query = DepartureQuery(trip, arrive_by, hours=hours, every_minutes=every_minutes, probability=probability)
    return compare_departures(model_reloader.require_model(), query)


@post(
    "/outcomes",
    status_code=200,
    request_max_body_size=MAX_LARGE_BODY_BYTES,
    request_bodies={JSON: (OutcomeReport, OutcomeBatch)},
    request_example=EXAMPLE_OUTCOME,
    responses=problem_responses(ConflictError, UnavailableError),
    summary="Report actual durations",
    tags=["predictions"],
)
async def report_outcomes(
    request: Request[Identity, Any, Any], body: RawBody, outcome_recorder: NamedDependency[OutcomeRecorder]
) -> OutcomeResponse:
    """Store actual durations by prediction id. Those that the response counts are committed; repeating is harmless.

    Send one outcome, or `{"outcomes": [...]}` with up to 10,000. The first report of an outcome is kept. A later report
    with another duration is listed as conflicting; as a single outcome it is rejected with 409. Ids that were not
    issued to this account are listed as unknown, and nothing is stored for them.
    """
    reports, single = await process_body(body, lambda: _read_outcomes(body))
    response = await outcome_recorder.record(reports, account_id=request.user.account_id)
    if single and response.conflicting:
        raise ConflictError("Another duration has been reported for this prediction before; the first one is kept.")
    return response


def _read_outcomes(body: bytes) -> tuple[list[OutcomeReport], bool]:
    """Return the outcomes of a body, and whether it is a single one."""
    if len(body) <= MAX_LISTED_BYTES and not _has_outcomes(body):
        return [decode(body, OutcomeReport)], True
    require_max_count(body, b",", MAX_OUTCOME_VALUES)
    return decode(body, OutcomeBatch).outcomes, False


def _has_outcomes(body: bytes) -> bool:
    """Return whether a body is an object with the field `outcomes`; False for invalid JSON, which `decode` reports."""
    try:
        return "outcomes" in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


routes = [
    predict_trip,
    predict_batch,
    predict_matrix,
    list_departures,
    report_outcomes,
    get_prediction,
]
