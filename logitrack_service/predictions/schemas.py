"""What can be asked, and what is answered: the shapes of the prediction API, and nothing that computes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from logitrack_service.http.problems import FieldProblem

BATCH_ROWS = 10_000
MATRIX_SIDE = 100

Zone = Annotated[int, msgspec.Meta(ge=1, le=263, description="TLC taxi zone.")]
Miles = Annotated[float, msgspec.Meta(gt=0, le=200, description="Planned distance in miles.")]
Level = Annotated[
    float, msgspec.Meta(ge=0.5, le=0.95, description="Probability that the interval holds the real time.")
]
Minutes = Annotated[float, msgspec.Meta(gt=0, le=1_440)]
Fleet = Literal["yellow", "green"]

DEFAULT_LEVEL = 0.8
FIRST_YEAR, LAST_YEAR = 2010, 2041  # what the model's calendar covers, in any time zone


def _check_year(pickup_at: datetime | None) -> None:
    if pickup_at is not None and not FIRST_YEAR <= pickup_at.year <= LAST_YEAR:
        raise ValueError(f"pickup_at lies outside the years {FIRST_YEAR} to {LAST_YEAR}")


class Trip(msgspec.Struct, forbid_unknown_fields=True):
    """A ride that somebody thinks about.

    `pickup_at` is ISO 8601: with an offset it is converted to New York, without one it is New York's wall clock; left
    out, it is now.
    """

    pickup_zone: Zone
    dropoff_zone: Zone
    pickup_at: datetime | None = None
    distance_miles: Miles | None = None
    fleet: Fleet = "yellow"

    def __post_init__(self) -> None:
        _check_year(self.pickup_at)


class PredictionRequest(Trip, forbid_unknown_fields=True):
    """A ride, and how sure the interval shall be."""

    level: Level = DEFAULT_LEVEL


class Interval(msgspec.Struct):
    """Where the real duration lies with probability `level`."""

    low_minutes: float
    high_minutes: float
    level: float


class PredictionResponse(msgspec.Struct):
    """An answer, with everything it rests on."""

    prediction_id: str
    estimated_duration_minutes: float
    interval: Interval
    pickup_at: datetime
    arrival_at: datetime
    support: int
    """How many trips stand behind this pair of zones."""
    extrapolating: bool
    """Whether hardly any do."""
    distance_miles: float | None
    distance_source: str
    fleet: str
    model_version: str
    trained_through: str


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Up to 10,000 rides. A ride that is wrong gets its own error; the others get their answers."""

    trips: Annotated[list[Trip], msgspec.Meta(min_length=1, max_length=BATCH_ROWS)]
    level: Level = DEFAULT_LEVEL


class RawBatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A batch before its rides have been looked at one by one."""

    trips: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=BATCH_ROWS)]
    level: Level = DEFAULT_LEVEL


class BatchItemError(msgspec.Struct):
    """Why a ride of a batch has no answer."""

    detail: str
    errors: list[FieldProblem]


class BatchItem(msgspec.Struct, omit_defaults=True):
    """What became of a ride in a batch: an answer, or `error` alone."""

    prediction_id: str | None = None
    estimated_duration_minutes: float | None = None
    interval: Interval | None = None
    pickup_at: datetime | None = None
    arrival_at: datetime | None = None
    support: int | None = None
    extrapolating: bool | None = None
    error: BatchItemError | None = None


class BatchResponse(msgspec.Struct):
    """Answers and errors in the order of the rides."""

    results: list[BatchItem]
    model_version: str
    trained_through: str
    level: float
    predicted: int
    failed: int


class MatrixRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Every pair of up to 100 pickup and 100 drop-off zones at one time."""

    pickup_zones: Annotated[list[Zone], msgspec.Meta(min_length=1, max_length=MATRIX_SIDE)]
    dropoff_zones: Annotated[list[Zone], msgspec.Meta(min_length=1, max_length=MATRIX_SIDE)]
    pickup_at: datetime | None = None
    fleet: Fleet = "yellow"
    level: Level = DEFAULT_LEVEL

    def __post_init__(self) -> None:
        _check_year(self.pickup_at)


class MatrixResponse(msgspec.Struct):
    """A row for each pickup zone, a column for each drop-off zone; minutes."""

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
    """Leaving at this time."""

    pickup_at: datetime
    estimated_duration_minutes: float
    on_time_duration_minutes: float
    """Minutes that are enough with the wanted probability."""
    arrival_at: datetime
    arrival_by: datetime
    """When one will have arrived with the wanted probability."""


class DeparturesResponse(msgspec.Struct):
    """How the duration changes over the next hours, and when to leave."""

    departures: list[Departure]
    probability: float
    leave_by: datetime | None
    """The latest of these departures that arrives in time with the wanted probability; null if none does."""
    arrive_by: datetime | None
    model_version: str


class OutcomeReport(msgspec.Struct, forbid_unknown_fields=True):
    """How long a predicted ride really took."""

    prediction_id: str
    duration_minutes: Minutes


class OutcomeBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Several outcomes at once."""

    outcomes: Annotated[list[OutcomeReport], msgspec.Meta(min_length=1, max_length=BATCH_ROWS)]


class OutcomeResponse(msgspec.Struct):
    """What became of the reports: stored now, known before with the same value, or in conflict with an earlier one."""

    recorded: int
    already_known: int
    conflicting: list[str]
