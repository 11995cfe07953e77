"""Request and response schemas of the prediction API. Durations are in minutes, distances in miles."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from logitrack_assets.eta.artifact import (
    DEFAULT_LEVEL,
    MAX_LEVEL,
    MAX_MONTHS_FROM_TRAINING,
    MIN_LEVEL,
    MIN_SUPPORT,
)
from logitrack_assets.eta.features import FIRST_DAY, LAST_DAY
from logitrack_assets.reference.zones import FIRST_ZONE, LAST_ZONE
from logitrack_service.errors import FieldError

MAX_BATCH_TRIPS = 10_000
MAX_MATRIX_ZONES = 100  # for each side
MAX_DISTANCE_MILES = 200
MAX_OUTCOME_MINUTES = 1_440
# A year less than the model's calendar: an offset may move the wall-clock time into the previous year.
MIN_PICKUP_YEAR, MAX_PICKUP_YEAR = FIRST_DAY.item().year + 1, LAST_DAY.item().year

ZoneId = Annotated[int, msgspec.Meta(ge=FIRST_ZONE, le=LAST_ZONE, description="TLC taxi zone.")]
DistanceMiles = Annotated[float, msgspec.Meta(gt=0, le=MAX_DISTANCE_MILES, description="Planned distance in miles.")]
IntervalLevel = Annotated[
    float,
    msgspec.Meta(ge=MIN_LEVEL, le=MAX_LEVEL, description="Probability that the interval contains the actual duration."),
]
OutcomeMinutes = Annotated[float, msgspec.Meta(gt=0, le=MAX_OUTCOME_MINUTES, description="Actual duration in minutes.")]
FleetName = Literal["yellow", "green"]
OptionalFleet = Annotated[
    FleetName | None, msgspec.Meta(description="Fleet; if omitted, the one with the most training trips of the model.")
]
Extrapolating = Annotated[
    bool,
    msgspec.Meta(
        description=f"Whether the model was trained on nothing like this trip: fewer than {MIN_SUPPORT} training trips "
        "between the two zones, a fleet without training trips, or a pickup more than "
        f"{MAX_MONTHS_FROM_TRAINING} months before the first or after the last training month (`trained_through`)."
    ),
]


def out_of_calendar(moment: datetime) -> str | None:
    """Return why a time lies outside the model's calendar, None if it lies within."""
    if MIN_PICKUP_YEAR <= moment.year <= MAX_PICKUP_YEAR:
        return None
    return f"lies outside the years {MIN_PICKUP_YEAR} to {MAX_PICKUP_YEAR}"


def _check_pickup_at(pickup_at: datetime | None) -> None:
    """Raise ValueError if a pickup time lies outside the model's calendar."""
    if pickup_at is not None and (reason := out_of_calendar(pickup_at)):
        raise ValueError(f"pickup_at {reason}")


class Trip(msgspec.Struct, forbid_unknown_fields=True):
    """A planned trip.

    `pickup_at` is ISO 8601. With an offset it is converted to New York time; without one it is New York wall-clock
    time; omitted, it is the current time.
    """

    pickup_zone: ZoneId
    dropoff_zone: ZoneId
    pickup_at: datetime | None = None
    distance_miles: DistanceMiles | None = None
    fleet: OptionalFleet = None

    def __post_init__(self) -> None:
        """Validate the pickup time."""
        _check_pickup_at(self.pickup_at)


class PredictionRequest(Trip, forbid_unknown_fields=True):
    """A planned trip and the level of the prediction interval."""

    level: IntervalLevel = DEFAULT_LEVEL


class Interval(msgspec.Struct):
    """Prediction interval: the actual duration lies within it with probability `level`."""

    low_minutes: float
    high_minutes: float
    level: float


class PredictionResponse(msgspec.Struct):
    """A prediction.

    `base_duration_minutes` is the model's answer without live correction, `live_correction_minutes` what the reported
    outcomes add to it. `support` is the number of training trips between the two zones; `extrapolating` is true if
    there are too few of them, if the fleet has none, or if the pickup is far from the training months.
    """

    prediction_id: str
    estimated_duration_minutes: float
    base_duration_minutes: float
    live_correction_minutes: float
    interval: Interval
    pickup_at: datetime
    arrival_at: datetime
    support: int
    extrapolating: Extrapolating
    distance_miles: float | None
    distance_source: str
    fleet: str
    model_version: str
    trained_through: str


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 10,000 trips. An invalid trip gets an error of its own and does not affect the others."""

    trips: Annotated[list[Trip], msgspec.Meta(min_length=1, max_length=MAX_BATCH_TRIPS)]
    level: IntervalLevel = DEFAULT_LEVEL


class RawBatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A batch whose trips are not decoded yet."""

    trips: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=MAX_BATCH_TRIPS)]
    level: IntervalLevel = DEFAULT_LEVEL


class BatchItemError(msgspec.Struct):
    """Why a trip of a batch has no prediction."""

    detail: str
    errors: list[FieldError]


class BatchItem(msgspec.Struct, omit_defaults=True):
    """Result for one trip of a batch: the fields of a prediction, or `error` alone."""

    prediction_id: str | None = None
    estimated_duration_minutes: float | None = None
    base_duration_minutes: float | None = None
    interval: Interval | None = None
    pickup_at: datetime | None = None
    arrival_at: datetime | None = None
    support: int | None = None
    extrapolating: Extrapolating | None = None
    error: BatchItemError | None = None


class BatchResponse(msgspec.Struct):
    """Results in the order of the trips."""

    results: list[BatchItem]
    model_version: str
    trained_through: str
    level: float
    predicted: int
    failed: int


def encode_batch(response: BatchResponse) -> bytes:
    """Return a response as JSON, encoded row by row.

    One call for all rows would hold the interpreter's lock, and with it the event loop, for ten milliseconds.
    """
    rows: list[Any] = [msgspec.Raw(msgspec.json.encode(row)) for row in response.results]
    return msgspec.json.encode(msgspec.structs.replace(response, results=rows))


class MatrixRequest(msgspec.Struct, forbid_unknown_fields=True):
    """All pairs of up to 100 pickup zones and 100 drop-off zones at one pickup time."""

    pickup_zones: Annotated[list[ZoneId], msgspec.Meta(min_length=1, max_length=MAX_MATRIX_ZONES)]
    dropoff_zones: Annotated[list[ZoneId], msgspec.Meta(min_length=1, max_length=MAX_MATRIX_ZONES)]
    pickup_at: datetime | None = None
    fleet: OptionalFleet = None
    level: IntervalLevel = DEFAULT_LEVEL

    def __post_init__(self) -> None:
        """Validate the pickup time."""
        _check_pickup_at(self.pickup_at)


class MatrixResponse(msgspec.Struct):
    """Predictions with one row for each pickup zone and one column for each drop-off zone."""

    pickup_zones: list[int]
    dropoff_zones: list[int]
    pickup_at: datetime
    duration_minutes: list[list[float]]
    low_minutes: list[list[float]]
    high_minutes: list[list[float]]
    support: list[list[int]]
    level: float
    model_version: str


class Departure(msgspec.Struct):
    """Prediction for one departure time.

    `on_time_duration_minutes` is the duration that is not exceeded with the requested probability; `arrival_by` is the
    corresponding time of arrival. `low_minutes` and `high_minutes` are the interval of the response's `level`. A later
    departure never arrives earlier than one before it.
    """

    pickup_at: datetime
    estimated_duration_minutes: float
    on_time_duration_minutes: float
    low_minutes: float
    high_minutes: float
    arrival_at: datetime
    arrival_by: datetime


class DeparturesResponse(msgspec.Struct):
    """Predictions for several departure times, ascending.

    `leave_by` is the latest departure that arrives by `arrive_by` with the requested probability; both are null if no
    `arrive_by` was given.
    """

    departures: list[Departure]
    probability: float
    leave_by: datetime | None
    arrive_by: datetime | None
    level: float
    model_version: str


class OutcomeReport(msgspec.Struct, forbid_unknown_fields=True):
    """The actual duration of a predicted trip."""

    prediction_id: str
    duration_minutes: OutcomeMinutes


class OutcomeBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 10,000 outcomes."""

    outcomes: Annotated[list[OutcomeReport], msgspec.Meta(min_length=1, max_length=MAX_BATCH_TRIPS)]


class OutcomeResponse(msgspec.Struct):
    """Number of outcomes stored now and of those known before with the same value; ids of the other reports.

    `conflicting` ids have another stored duration. `unknown` ids were not issued to this account; they are not stored.
    """

    recorded: int
    already_known: int
    conflicting: list[str]
    unknown: list[str]
