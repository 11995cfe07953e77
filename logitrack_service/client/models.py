"""What the client sends and returns. Durations are minutes, distances miles, zones those of the TLC (1 to 263).

Fields that a newer service adds are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pandas as pd


class Ride(msgspec.Struct, frozen=True, omit_defaults=True):
    """A planned ride.

    `pickup_at` without an offset is New York wall-clock time; None is the present time. The fleet is `yellow` or
    `green`; None is the one that the model knows best.
    """

    pickup_zone: int
    dropoff_zone: int
    pickup_at: datetime | None = None
    distance_miles: float | None = None
    fleet: str | None = None

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> Ride:
        """Return the ride in a row, for example of `DataFrame.to_dict("records")`; NaN and NaT mean None.

        Raises:
            KeyError: A zone is missing.
        """
        values = {name: _plain(row.get(name)) for name in cls.__struct_fields__}
        return cls(int(row["pickup_zone"]), int(row["dropoff_zone"]), *list(values.values())[2:])


class RideInterval(msgspec.Struct, frozen=True):
    """The duration lies between the two with the probability `level`."""

    low_minutes: float
    high_minutes: float
    level: float


class RidePrediction(msgspec.Struct, frozen=True):
    """A prediction.

    `base_duration_minutes` is the answer without live correction, None if the service does not correct. `support` is
    the number of training trips between the zones.
    """

    prediction_id: str
    estimated_duration_minutes: float
    interval: RideInterval
    pickup_at: datetime
    arrival_at: datetime
    support: int
    extrapolating: bool
    fleet: str
    model_version: str
    trained_through: str
    distance_miles: float | None = None
    base_duration_minutes: float | None = None


class RowError(msgspec.Struct, frozen=True):
    """Why a ride of a batch has no prediction."""

    detail: str


class BatchRow(msgspec.Struct, frozen=True):
    """The prediction of one ride of a batch, or `error` alone."""

    prediction_id: str | None = None
    estimated_duration_minutes: float | None = None
    interval: RideInterval | None = None
    pickup_at: datetime | None = None
    arrival_at: datetime | None = None
    support: int | None = None
    extrapolating: bool | None = None
    base_duration_minutes: float | None = None
    error: RowError | None = None


class BatchAnswer(msgspec.Struct, frozen=True):
    """The answer to one request of a batch."""

    results: list[BatchRow]
    model_version: str
    trained_through: str


class BatchResult(msgspec.Struct, frozen=True):
    """Predictions in the order of the rides. `model_versions` has one name, unless a promotion came in between."""

    rows: list[BatchRow]
    model_versions: list[str]

    @property
    def failed(self) -> int:
        """Number of rides without a prediction."""
        return sum(row.error is not None for row in self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each ride, with the columns of `logitrack predict`; needs pandas."""
        return _frame(
            {
                "estimated_duration_minutes": row.estimated_duration_minutes,
                "interval_low_minutes": row.interval.low_minutes if row.interval else None,
                "interval_high_minutes": row.interval.high_minutes if row.interval else None,
                "arrival_at": row.arrival_at,
                "support": row.support,
                "extrapolating": row.extrapolating,
                "prediction_id": row.prediction_id,
                "error": row.error.detail if row.error else None,
            }
            for row in self.rows
        )


class MatrixResult(msgspec.Struct, frozen=True):
    """Predictions with a row for each pickup zone and a column for each drop-off zone."""

    pickup_zones: list[int]
    dropoff_zones: list[int]
    pickup_at: datetime
    duration_minutes: list[list[float]]
    low_minutes: list[list[float]]
    high_minutes: list[list[float]]
    support: list[list[int]]
    level: float
    model_version: str

    def to_pandas(self) -> pd.DataFrame:
        """Return the minutes by pickup zone (rows) and drop-off zone (columns); needs pandas."""
        import pandas as pd

        return pd.DataFrame(
            self.duration_minutes,
            index=pd.Index(self.pickup_zones, name="pickup_zone"),
            columns=pd.Index(self.dropoff_zones, name="dropoff_zone"),
        )


class DepartureOption(msgspec.Struct, frozen=True):
    """The prediction for one time of departure; `arrival_by` is reached with the plan's probability."""

    pickup_at: datetime
    estimated_duration_minutes: float
    on_time_duration_minutes: float
    low_minutes: float
    high_minutes: float
    arrival_at: datetime
    arrival_by: datetime


class DeparturePlan(msgspec.Struct, frozen=True):
    """Predictions for several times of departure. `leave_by` is the latest one that arrives in time."""

    departures: list[DepartureOption]
    probability: float
    leave_by: datetime | None
    arrive_by: datetime | None
    level: float
    model_version: str

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each time of departure; needs pandas."""
        return _frame(msgspec.structs.asdict(departure) for departure in self.departures)


class OutcomeSummary(msgspec.Struct, frozen=True):
    """How many outcomes were stored, how many were known, and the ids that were not stored.

    `conflicting` ids have another stored duration, `unknown` ids were not issued to this account.
    """

    recorded: int
    already_known: int
    conflicting: list[str]
    unknown: list[str]


class QueryResult(msgspec.Struct, frozen=True):
    """Rows of an analyst's query; `truncated` if there are more."""

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    milliseconds: float

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows; needs pandas."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=pd.Index(self.columns))


class ZoneInfo(msgspec.Struct, frozen=True):
    """A taxi zone with its centroid, WGS 84 degrees."""

    zone: int
    name: str
    borough: str
    service_zone: str
    latitude: float
    longitude: float


class AccountInfo(msgspec.Struct, frozen=True):
    """The client's account. Outcomes count for the model only if an admin vouches for the account."""

    username: str
    role: str
    created_at: datetime
    vouched: bool
    disabled: bool


class TokenAnswer(msgspec.Struct, frozen=True):
    """The tokens of a session."""

    access_token: str
    refresh_token: str


def _plain(value: Any) -> Any:
    """Return a cell as a type that JSON has; numpy's numbers and pandas' times are converted."""
    if value is None or value != value:  # NaN and NaT differ from themselves
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows))
