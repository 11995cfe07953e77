"""From questions to answers: plain functions around the one artifact."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import PredictionBatch
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.nyc_calendar import NEW_YORK, from_wall_clock, to_wall_clock
from logitrack_service.http.decoding import wrong_fields
from logitrack_service.observability import metrics
from logitrack_service.predictions.identifiers import new_ids
from logitrack_service.predictions.model_reloader import LoadedModel
from logitrack_service.predictions.prediction_log import LoggedPredictions
from logitrack_service.predictions.schemas import (
    DEFAULT_LEVEL,
    BatchItem,
    BatchItemError,
    BatchResponse,
    Departure,
    Interval,
    MatrixRequest,
    MatrixResponse,
    PredictionRequest,
    PredictionResponse,
    Trip,
)

FLEET_CODES = {name: code for code, name in enumerate(FLEETS)}
_NAN = float("nan")


@dataclass(frozen=True)
class Moment:
    """A pickup as the point in time that it is and as New York's clocks show it."""

    at: datetime
    """With New York's offset."""
    unix: int
    """Seconds since 1970 in UTC."""
    clock: int
    """Seconds since 1970 as the clocks show them: what the model reads."""

    def after(self, minutes: float) -> datetime:
        """So many real minutes later, whatever the clocks do meanwhile."""
        return datetime.fromtimestamp(self.unix + round(minutes * 60), NEW_YORK)


def moment_of(pickup_at: datetime | None) -> Moment:
    """The pickup that was asked about; None is now. Whole seconds."""
    return _moment((datetime.now(UTC) if pickup_at is None else pickup_at).replace(microsecond=0))


@lru_cache(maxsize=10_000)  # a batch, or what is asked in a second, is often about the same minutes
def _moment(pickup_at: datetime) -> Moment:
    # Equal datetimes are the same moment: one with an offset never equals one without.
    wall_clock = to_wall_clock(pickup_at)
    at = pickup_at.astimezone(NEW_YORK) if pickup_at.tzinfo else from_wall_clock(pickup_at)
    return Moment(at, int(at.timestamp()), int(wall_clock.replace(tzinfo=UTC).timestamp()))


def trips_of(rows: Sequence[Trip], moments: Sequence[Moment]) -> TripBatch:
    """Rides as the model reads them; they have been checked by their types."""
    return TripBatch(
        pickup_zone=np.array([row.pickup_zone for row in rows], dtype=np.int16),
        dropoff_zone=np.array([row.dropoff_zone for row in rows], dtype=np.int16),
        pickup_at=np.array([moment.clock for moment in moments], dtype="datetime64[s]"),
        distance_miles=np.array(
            [_NAN if row.distance_miles is None else row.distance_miles for row in rows], dtype=np.float32
        ),
        fleet=np.array([FLEET_CODES[row.fleet] for row in rows], dtype=np.int8),
    )


def predict(serving: LoadedModel, trips: TripBatch, *, level: float, kind: str) -> PredictionBatch:
    """Runs the model and measures it."""
    began = time.perf_counter()
    answers = serving.artifact.predict(trips, level=level)
    seconds, rows = _measured(kind)
    seconds.observe(time.perf_counter() - began)
    rows.observe(len(trips))
    return answers


@cache
def _measured(kind: str) -> tuple[metrics.Histogram, metrics.Histogram]:
    return metrics.prediction_seconds.labels(kind), metrics.prediction_rows.labels(kind)


def predict_requests(
    serving: LoadedModel, questions: Sequence[PredictionRequest], account_ids: Sequence[int], *, level: float
) -> tuple[list[PredictionResponse], LoggedPredictions]:
    """The answers to questions of one level that were asked at once, and what is to be logged about them."""
    moments = [moment_of(question.pickup_at) for question in questions]
    trips = trips_of(questions, moments)
    scored = predict(serving, trips, level=level, kind="single")
    ids = new_ids(len(questions))
    version, trained_through = serving.champion.version, serving.artifact.manifest.trained_through
    answers = [
        PredictionResponse(
            prediction_id=prediction_id,
            estimated_duration_minutes=minutes,
            interval=Interval(low, high, level),
            pickup_at=moment.at,
            arrival_at=moment.after(minutes),
            support=support,
            extrapolating=extrapolating,
            distance_miles=miles if source == "given" else None,
            distance_source=source,
            fleet=question.fleet,
            model_version=version,
            trained_through=trained_through,
        )
        for question, moment, prediction_id, (minutes, low, high, miles, support, extrapolating), source in zip(
            questions, moments, ids, _rows(scored), scored.distance_source, strict=True
        )
    ]
    return answers, LoggedPredictions(ids, account_ids, version, trips, scored, level)


def decode_rows(rows: Sequence[msgspec.Raw | bytes]) -> tuple[list[Trip], list[int], dict[int, BatchItem]]:
    """The rides of a batch that can be read, their places, and what is wrong with the others."""
    decode = _TRIP.decode
    trips: list[Trip] = []
    places: list[int] = []
    wrong: dict[int, BatchItem] = {}
    for place, row in enumerate(rows):
        try:
            trips.append(decode(row))
            places.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            errors = wrong_fields(row, Trip, error)
            detail = "This row is not valid JSON." if errors is None else "Some values are not valid."
            wrong[place] = BatchItem(error=BatchItemError(detail, errors or []))
    return trips, places, wrong


def predict_batch_rows(
    serving: LoadedModel, rows: Sequence[msgspec.Raw | bytes], *, level: float, account_id: int
) -> tuple[BatchResponse, LoggedPredictions | None]:
    """Answers and errors in the order of the rows, and what is to be logged about them."""
    trips, places, wrong = decode_rows(rows)
    results: list[Any] = [wrong.get(place) for place in range(len(rows))]
    logged = None
    if trips:
        moments = [moment_of(trip.pickup_at) for trip in trips]
        batch = trips_of(trips, moments)
        scored = predict(serving, batch, level=level, kind="batch")
        ids = new_ids(len(trips))
        for place, prediction_id, moment, (minutes, low, high, _, support, extrapolating) in zip(
            places, ids, moments, _rows(scored), strict=True
        ):
            results[place] = BatchItem(
                prediction_id,
                minutes,
                Interval(low, high, level),
                moment.at,
                moment.after(minutes),
                support,
                extrapolating,
            )
        logged = LoggedPredictions(ids, [account_id] * len(ids), serving.champion.version, batch, scored, level)
    answered = BatchResponse(
        results=results,
        model_version=serving.champion.version,
        trained_through=serving.artifact.manifest.trained_through,
        level=level,
        predicted=len(trips),
        failed=len(wrong),
    )
    return answered, logged


def predict_matrix_pairs(serving: LoadedModel, question: MatrixRequest) -> MatrixResponse:
    """Every pair at one time."""
    moment = moment_of(question.pickup_at)
    rows, columns = len(question.pickup_zones), len(question.dropoff_zones)
    size = rows * columns
    trips = TripBatch(
        pickup_zone=np.repeat(np.array(question.pickup_zones, dtype=np.int16), columns),
        dropoff_zone=np.tile(np.array(question.dropoff_zones, dtype=np.int16), rows),
        pickup_at=np.full(size, moment.clock, dtype="datetime64[s]"),
        distance_miles=np.full(size, np.nan, dtype=np.float32),
        fleet=np.full(size, FLEET_CODES[question.fleet], dtype=np.int8),
    )
    scored = predict(serving, trips, level=question.level, kind="matrix")

    def grid(values: NDArray[Any]) -> list[list[Any]]:
        whole = values if values.dtype.kind == "i" else np.round(values.astype(np.float64), 2)
        return whole.reshape(rows, columns).tolist()

    return MatrixResponse(
        pickup_zones=question.pickup_zones,
        dropoff_zones=question.dropoff_zones,
        pickup_at=moment.at,
        duration_minutes=grid(scored.minutes),
        low_minutes=grid(scored.low),
        high_minutes=grid(scored.high),
        support=grid(scored.support),
        level=question.level,
        model_version=serving.champion.version,
    )


def predict_departures(
    serving: LoadedModel, trip: Trip, *, every_minutes: int, count: int, probability: float
) -> list[Departure]:
    """The same ride at `count` times from its pickup on."""
    start = moment_of(trip.pickup_at)
    moments = [moment_of(start.after(every_minutes * step)) for step in range(count)]
    trips = trips_of([trip] * count, moments)
    scored = predict(serving, trips, level=DEFAULT_LEVEL, kind="departures")
    enough = serving.artifact.quantiles(trips, np.array([probability]))[:, 0]
    return [
        Departure(moment.at, minutes, in_time, moment.after(minutes), moment.after(in_time))
        for moment, minutes, in_time in zip(moments, _list(scored.minutes), _list(enough), strict=True)
    ]


def leave_by(departures: Sequence[Departure], arrive_by: datetime) -> datetime | None:
    """The latest departure that arrives in time with the wanted probability."""
    in_time = [departure.pickup_at for departure in departures if departure.arrival_by <= arrive_by]
    return max(in_time, default=None)


def _rows(scored: PredictionBatch) -> Iterator[tuple[float, float, float, float, int, bool]]:
    """Minutes, low, high, miles, support and whether it extrapolates, for each trip, as a person is told them."""
    measures = np.array([scored.minutes, scored.low, scored.high, scored.distance_used_miles])
    return zip(*np.round(measures, 2).tolist(), scored.support.tolist(), scored.extrapolating.tolist(), strict=True)


def _list(values: NDArray[Any]) -> list[float]:
    return np.round(values.astype(np.float64), 2).tolist()


_TRIP = msgspec.json.Decoder(Trip)
