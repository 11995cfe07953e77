"""Inference: functions that turn requests into responses with a loaded model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import Adjuster, PredictionBatch
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.nyc_calendar import NEW_YORK, from_wall_clock, to_wall_clock
from logitrack_service.errors import INVALID_VALUES
from logitrack_service.http.decoding import find_field_errors
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_service.predictions.model_reloader import LoadedModel
from logitrack_service.predictions.prediction_log import LoggedPredictions
from logitrack_service.predictions.schemas import (
    BatchItem,
    BatchItemError,
    BatchResponse,
    Interval,
    MatrixRequest,
    MatrixResponse,
    PredictionRequest,
    PredictionResponse,
    Trip,
)

if TYPE_CHECKING:
    from prometheus_client import Histogram  # at run time only `metrics` may import it first

FLEET_CODES: dict[str, int] = {name: code for code, name in enumerate(FLEETS)}
_NAN = float("nan")
MAX_LISTED_ROWS = 100  # listing every invalid field of 10,000 rows takes seconds
_TRIP_DECODER = msgspec.json.Decoder(Trip)


@dataclass(frozen=True)
class PickupTime:
    """A pickup time in the representations that responses and the model need.

    Attributes:
        local: the time with New York's offset.
        unix_seconds: seconds since 1970 in UTC.
        wall_clock_seconds: the wall-clock time read as seconds since 1970, the model's input.
    """

    local: datetime
    unix_seconds: int
    wall_clock_seconds: int

    def after(self, minutes: float) -> datetime:
        """Return the time `minutes` of elapsed time later, correct across clock changes."""
        return datetime.fromtimestamp(self.unix_seconds + round(minutes * 60), NEW_YORK)


def resolve_pickup_time(pickup_at: datetime | None) -> PickupTime:
    """Return the requested pickup time in whole seconds; None is the current time."""
    return _resolve((datetime.now(UTC) if pickup_at is None else pickup_at).replace(microsecond=0))


@lru_cache(maxsize=10_000)  # trips of one batch or one second mostly share their pickup times
def _resolve(pickup_at: datetime) -> PickupTime:
    # Safe as a cache key: a datetime with an offset never equals one without. `pickup_at` is never in the time zone
    # NEW_YORK itself, whose two times of a doubled hour are equal.
    wall_clock = to_wall_clock(pickup_at)
    local = pickup_at.astimezone(NEW_YORK) if pickup_at.tzinfo else from_wall_clock(pickup_at)
    return PickupTime(local, int(local.timestamp()), int(wall_clock.replace(tzinfo=UTC).timestamp()))


def build_trip_batch(model: LoadedModel, trips: Sequence[Trip], pickup_times: Sequence[PickupTime]) -> TripBatch:
    """Return validated trips as the arrays that the model takes; a trip without a fleet gets the model's default."""
    default_fleet = model.predictor.default_fleet
    return TripBatch(
        pickup_zone=np.array([trip.pickup_zone for trip in trips], dtype=np.int16),
        dropoff_zone=np.array([trip.dropoff_zone for trip in trips], dtype=np.int16),
        pickup_at=np.array([pickup_time.wall_clock_seconds for pickup_time in pickup_times], dtype="datetime64[s]"),
        distance_miles=np.array(
            [_NAN if trip.distance_miles is None else trip.distance_miles for trip in trips], dtype=np.float32
        ),
        fleet=np.array([FLEET_CODES[trip.fleet or default_fleet] for trip in trips], dtype=np.int8),
    )


def run_model(
    model: LoadedModel, trips: TripBatch, *, level: float, kind: str, adjuster: Adjuster | None
) -> PredictionBatch:
    """Run the model and its live correction, and record the duration under the metrics label `kind`."""
    started_at = time.perf_counter()
    predictions = model.predictor.predict(trips, level=level, adjuster=adjuster)
    seconds, rows = _inference_metrics(kind)
    seconds.observe(time.perf_counter() - started_at)
    rows.observe(len(trips))
    return predictions


@cache
def _inference_metrics(kind: str) -> tuple[Histogram, Histogram]:
    return metrics.prediction_seconds.labels(kind), metrics.prediction_rows.labels(kind)


def predict_requests(
    model: LoadedModel,
    requests: Sequence[PredictionRequest],
    account_ids: Sequence[int],
    *,
    level: float,
    prediction_ids: PredictionIds,
) -> tuple[list[PredictionResponse], LoggedPredictions]:
    """Predict requests of one interval level in one inference call.

    Args:
        model: the loaded model.
        requests: the requests; their own `level` is ignored.
        account_ids: the account of each request.
        level: the interval level of all requests.
        prediction_ids: issues the ids.

    Returns:
        The responses in the order of the requests, and the rows to log.
    """
    pickup_times = [resolve_pickup_time(request.pickup_at) for request in requests]
    trips = build_trip_batch(model, requests, pickup_times)
    asked_at = datetime.now(UTC)
    adjuster, position = model.live.adjuster(asked_at, trips)
    predictions = run_model(model, trips, level=level, kind="single", adjuster=adjuster)
    ids = prediction_ids.issue(account_ids)
    version, trained_through = model.champion.version, model.predictor.manifest.trained_through
    responses = [
        PredictionResponse(
            prediction_id=prediction_id,
            estimated_duration_minutes=minutes,
            base_duration_minutes=base,
            live_correction_minutes=round(minutes - base, 2),
            interval=Interval(low, high, level),
            pickup_at=pickup_time.local,
            arrival_at=pickup_time.after(minutes),
            support=support,
            extrapolating=extrapolating,
            distance_miles=miles if source == "given" else None,
            distance_source=source,
            fleet=request.fleet or model.predictor.default_fleet,
            model_version=version,
            trained_through=trained_through,
        )
        for request, pickup_time, prediction_id, (
            minutes,
            base,
            low,
            high,
            miles,
            support,
            extrapolating,
        ), source in zip(
            requests, pickup_times, ids, _rounded_rows(predictions), predictions.distance_source, strict=True
        )
    ]
    return responses, LoggedPredictions(ids, account_ids, version, trips, predictions, level, asked_at, position)


def decode_rows(rows: Sequence[msgspec.Raw | bytes]) -> tuple[list[Trip], list[int], dict[int, BatchItem]]:
    """Decode the trips of a batch one by one.

    Args:
        rows: one JSON document for each trip.

    Returns:
        The valid trips, their indices in `rows`, and the error results of the other rows by index. The first
        `MAX_LISTED_ROWS` of them list every invalid field, others the first.
    """
    decode = _TRIP_DECODER.decode
    trips: list[Trip] = []
    indices: list[int] = []
    failed: dict[int, BatchItem] = {}
    for index, row in enumerate(rows):
        try:
            trips.append(decode(row))
            indices.append(index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            errors = find_field_errors(row, Trip, error, first_only=len(failed) >= MAX_LISTED_ROWS)
            detail = "This row is not valid JSON." if errors is None else INVALID_VALUES
            failed[index] = BatchItem(error=BatchItemError(detail, errors or []))
    return trips, indices, failed


def predict_batch_rows(
    model: LoadedModel,
    rows: Sequence[msgspec.Raw | bytes],
    *,
    level: float,
    account_id: int,
    prediction_ids: PredictionIds,
) -> tuple[BatchResponse, LoggedPredictions | None]:
    """Predict the valid trips of a batch.

    Args:
        model: the loaded model.
        rows: one JSON document for each trip.
        level: the interval level.
        account_id: the account that sent the batch.
        prediction_ids: issues the ids.

    Returns:
        Results in the order of the rows, and the rows to log; None if no trip is valid.
    """
    trips, indices, failed = decode_rows(rows)
    results: list[Any] = [failed.get(index) for index in range(len(rows))]
    logged = None
    if trips:
        pickup_times = [resolve_pickup_time(trip.pickup_at) for trip in trips]
        batch = build_trip_batch(model, trips, pickup_times)
        asked_at = datetime.now(UTC)
        adjuster, position = model.live.adjuster(asked_at, batch)
        predictions = run_model(model, batch, level=level, kind="batch", adjuster=adjuster)
        ids = prediction_ids.issue([account_id] * len(trips))
        for index, prediction_id, pickup_time, (minutes, base, low, high, _, support, extrapolating) in zip(
            indices, ids, pickup_times, _rounded_rows(predictions), strict=True
        ):
            results[index] = BatchItem(
                prediction_id,
                minutes,
                base,
                Interval(low, high, level),
                pickup_time.local,
                pickup_time.after(minutes),
                support,
                extrapolating,
            )
        accounts, version = [account_id] * len(ids), model.champion.version
        logged = LoggedPredictions(ids, accounts, version, batch, predictions, level, asked_at, position)
    response = BatchResponse(
        results=results,
        model_version=model.champion.version,
        trained_through=model.predictor.manifest.trained_through,
        level=level,
        predicted=len(trips),
        failed=len(failed),
    )
    return response, logged


def predict_matrix_pairs(model: LoadedModel, request: MatrixRequest) -> MatrixResponse:
    """Predict all zone pairs of a matrix; the arrays have the shape (pickup zones, drop-off zones)."""
    pickup_time = resolve_pickup_time(request.pickup_at)
    rows, columns = len(request.pickup_zones), len(request.dropoff_zones)
    size = rows * columns
    trips = TripBatch(
        pickup_zone=np.repeat(np.array(request.pickup_zones, dtype=np.int16), columns),
        dropoff_zone=np.tile(np.array(request.dropoff_zones, dtype=np.int16), rows),
        pickup_at=np.full(size, pickup_time.wall_clock_seconds, dtype="datetime64[s]"),
        distance_miles=np.full(size, np.nan, dtype=np.float32),
        fleet=np.full(size, FLEET_CODES[request.fleet or model.predictor.default_fleet], dtype=np.int8),
    )
    adjuster, _ = model.live.adjuster(datetime.now(UTC), trips)
    predictions = run_model(model, trips, level=request.level, kind="matrix", adjuster=adjuster)

    def grid(values: NDArray[Any]) -> list[list[Any]]:
        rounded = values if values.dtype.kind == "i" else np.round(values.astype(np.float64), 2)
        nested: list[list[Any]] = rounded.reshape(rows, columns).tolist()
        return nested

    return MatrixResponse(
        pickup_zones=request.pickup_zones,
        dropoff_zones=request.dropoff_zones,
        pickup_at=pickup_time.local,
        duration_minutes=grid(predictions.minutes),
        low_minutes=grid(predictions.low),
        high_minutes=grid(predictions.high),
        support=grid(predictions.support),
        level=request.level,
        model_version=model.champion.version,
    )


def _rounded_rows(predictions: PredictionBatch) -> Iterator[tuple[float, float, float, float, float, int, bool]]:
    """Yield minutes, base, low, high, miles (rounded to 2 decimals), support and extrapolating for each trip."""
    measures = np.array(
        [
            predictions.minutes,
            predictions.base_minutes,
            predictions.low,
            predictions.high,
            predictions.distance_used_miles,
        ]
    )
    return zip(
        *np.round(measures, 2).tolist(),
        predictions.support.tolist(),
        predictions.extrapolating.tolist(),
        strict=True,
    )
