"""A past answer: what was asked and answered, by what, why, and the same numbers computed again.

The log of predictions holds what was asked, the version and the position of the live state. Versions are immutable,
and the state of a position is recomputed from a stored one (`live_store`), so the answer can be computed again after
promotions, rollbacks and restarts, for as long as versions, states and outcomes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import class_row

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import Adjuster, Predictor, to_minutes
from logitrack_assets.eta.features import DELAY_FEATURES, FEATURES, TripBatch, feature_matrix
from logitrack_assets.eta.live_store import recompute_snapshot
from logitrack_assets.eta.variant import Variant

HOURS_OF_WEEK = 168

_DELAYS = slice(FEATURES.index(DELAY_FEATURES[0]), FEATURES.index(DELAY_FEATURES[-1]) + 1)
_PREDICTION = """
    select p.prediction_id::text, p.account_id, p.at as asked_at, p.model_version, p.fleet, p.pickup_zone,
           p.dropoff_zone, p.pickup_at, p.distance_miles, p.level, p.duration_minutes, p.base_minutes, p.low_minutes,
           p.high_minutes, p.support, p.extrapolating, p.live_position, e.real_minutes, e.reported_at, e.counted,
           e.implausible_reason
    from service.predictions p left join service.evaluated_outcomes e using (prediction_id, account_id)
    where p.prediction_id = %s
"""


class NotReproducibleError(LogitrackError):
    """An answer cannot be computed again, because something that it was made of is no longer kept."""


@dataclass(frozen=True)
class LoggedAnswer:
    """A row of the log of predictions, with its outcome.

    Attributes:
        prediction_id: Its id.
        account_id: The account that asked.
        asked_at: When it was asked.
        model_version: The version that answered.
        fleet: Name of the fleet.
        pickup_zone: TLC zone.
        dropoff_zone: TLC zone.
        pickup_at: The planned pickup, New York's wall clock.
        distance_miles: The planned distance; None where none was given.
        level: Level of the interval.
        duration_minutes: The answer.
        base_minutes: The answer without live correction; None in rows of earlier releases.
        low_minutes: Lower end of the interval.
        high_minutes: Upper end of the interval.
        support: Training trips between the two zones.
        extrapolating: Whether the model was trained on nothing like this trip.
        live_position: Position of the live state; None without one.
        real_minutes: The reported duration; None without an outcome.
        reported_at: When it was reported.
        counted: Whether the outcome counts.
        implausible_reason: Why the outcome cannot be true; None where it can.
    """

    prediction_id: str
    account_id: int
    asked_at: datetime
    model_version: str
    fleet: str
    pickup_zone: int
    dropoff_zone: int
    pickup_at: datetime
    distance_miles: float | None
    level: float
    duration_minutes: float
    base_minutes: float | None
    low_minutes: float
    high_minutes: float
    support: int
    extrapolating: bool
    live_position: int | None
    real_minutes: float | None
    reported_at: datetime | None
    counted: bool | None
    implausible_reason: str | None

    @property
    def trip(self) -> TripBatch:
        """The trip that was asked for."""
        return TripBatch.from_columns(
            [self.pickup_zone],
            [self.dropoff_zone],
            [np.datetime64(self.pickup_at, "s")],
            None if self.distance_miles is None else [self.distance_miles],
            self.fleet,
        )


@dataclass(frozen=True)
class Contributions:
    """What an answer is made of, minutes that add up to it, to hundredths.

    Attributes:
        route: The two zones, averaged over the hours of the week and without recent traffic.
        time: The hour, the weekday and the season of the pickup.
        recent_traffic: The delays of the newest training month; 0 for a model that does not use them.
        distance: The planned distance; 0 without one.
        live_correction: The outcomes that had been reported.
    """

    route: float
    time: float
    recent_traffic: float
    distance: float
    live_correction: float


@dataclass(frozen=True)
class RecomputedAnswer:
    """An answer that was computed again.

    Attributes:
        duration_minutes: The answer.
        base_minutes: The answer without live correction.
        low_minutes: Lower end of the interval.
        high_minutes: Upper end of the interval.
        identical: Whether all four equal the logged ones, in the single precision of the log.
    """

    duration_minutes: float
    base_minutes: float
    low_minutes: float
    high_minutes: float
    identical: bool


def read_answer(connection: psycopg.Connection[Any], prediction_id: str) -> LoggedAnswer | None:
    """Return a logged prediction, None if the log does not have it."""
    with connection.cursor(row_factory=class_row(LoggedAnswer)) as cursor:
        return cursor.execute(_PREDICTION, [prediction_id]).fetchone()


def explain_contributions(predictor: Predictor, answer: LoggedAnswer) -> Contributions:
    """Return what an answer is made of, by adding one cause after the other.

    Args:
        predictor: The version that answered.
        answer: The answer.
    """
    trip = answer.trip
    monday = answer.pickup_at.replace(hour=0, minute=0, second=0) - timedelta(days=answer.pickup_at.weekday())
    hours = np.datetime64(monday, "s") + np.arange(HOURS_OF_WEEK) * np.timedelta64(3600, "s")
    moments = np.concatenate([hours, trip.pickup_at, trip.pickup_at])
    zones_only = TripBatch.from_columns(
        np.repeat(trip.pickup_zone, len(moments)),
        np.repeat(trip.dropoff_zone, len(moments)),
        moments,
        None,
        answer.fleet,
    )
    matrix = feature_matrix(zones_only, predictor.tables.features)
    matrix[:-1, _DELAYS] = predictor.tables.features.delay[trip.fleet[0]].mean(axis=0)
    minutes = to_minutes(predictor.log_minutes(matrix, Variant.ZONES))
    route, at_the_time, with_traffic = minutes[:HOURS_OF_WEEK].mean(), minutes[-2], minutes[-1]
    base = predictor.minutes(trip)[0]
    time, traffic, distance, live = (
        round(float(later - earlier), 2)
        for earlier, later in (
            (route, at_the_time),
            (at_the_time, with_traffic),
            (with_traffic, base),
            (base, answer.duration_minutes),
        )
    )
    return Contributions(
        route=round(round(answer.duration_minutes, 2) - time - traffic - distance - live, 2),
        time=time,
        recent_traffic=traffic,
        distance=distance,
        live_correction=live,
    )


def recompute_answer(
    connection: psycopg.Connection[Any], predictor: Predictor, answer: LoggedAnswer
) -> RecomputedAnswer:
    """Compute an answer again.

    Args:
        connection: To the database of the service.
        predictor: The version that answered.
        answer: The answer.

    Raises:
        NotReproducibleError: Its live state, or the outcomes that lead to it, are no longer kept.
    """
    trip, adjuster = answer.trip, _adjuster(connection, predictor, answer)
    batch = predictor.predict(trip, level=answer.level, adjuster=adjuster)
    again = {
        "duration_minutes": float(batch.minutes[0]),
        "base_minutes": float(batch.base_minutes[0]),
        "low_minutes": float(batch.low[0]),
        "high_minutes": float(batch.high[0]),
    }
    logged = vars(answer)
    identical = all(
        logged[name] is None or np.float32(value) == np.float32(logged[name]) for name, value in again.items()
    )
    return RecomputedAnswer(**again, identical=identical)


def _adjuster(connection: psycopg.Connection[Any], predictor: Predictor, answer: LoggedAnswer) -> Adjuster | None:
    if answer.live_position is None:
        return None
    snapshot = recompute_snapshot(connection, predictor, answer.live_position)
    if snapshot is None:
        raise NotReproducibleError(
            f"The live state {answer.live_position} of {predictor.version} is no longer kept.",
            hint="LOGITRACK_KEEP_REQUESTS_DAYS says for how long requests and what they need are kept.",
        )
    return snapshot.state.question_adjuster(answer.asked_at, answer.trip)
