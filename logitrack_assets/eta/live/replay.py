"""Replay of finished trips in the order of their events: what the live correction would have answered, and how well.

Every trip is asked at its pickup and reported when it has ended, some minutes late. A question is answered with the
outcomes that had arrived by the beginning of its five minutes, by the code that the service runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import DEFAULT_LEVEL, PredictionBatch, Predictor
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live.outcomes import LiveOutcomes, PreparedOutcomes
from logitrack_assets.eta.live.state import LiveState, describe_state
from logitrack_assets.eta.variant import Variant
from logitrack_assets.nyc_calendar import hour_of_day
from logitrack_assets.reference.zones import zones

BIN_SECONDS = 300
MAX_COVERAGE_ERROR = 0.04  # of a day's coverage, beyond which the day counts as outside
ACCOUNTS = 5
LIE_FACTOR = 3.0
"""What a lying account multiplies durations by."""

_PROGRESS_BINS = 20_000
_BLOCK_ROWS = 50_000


@dataclass(frozen=True)
class Answers:
    """Answers to the replayed trips of one variant, float64 (n,) each, in minutes."""

    minutes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def blank(cls, size: int) -> Answers:
        """Return answers of NaN."""
        return cls(*(np.full(size, np.nan) for _ in range(3)))

    def fill(self, rows: NDArray[np.int64], batch: PredictionBatch) -> None:
        """Store the predictions of some rows."""
        self.minutes[rows], self.low[rows], self.high[rows] = batch.minutes, batch.low, batch.high


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    Attributes:
        trips: The trips, in the order of their pickups.
        real: float64, real durations in minutes.
        static: Answers of the model alone, by variant; NaN where the variant does not apply.
        live: Answers with live correction.
        state: The state after the last question.
    """

    trips: TripBatch
    real: NDArray[np.float64]
    static: dict[Variant, Answers]
    live: dict[Variant, Answers]
    state: LiveState


def replay_trips(
    predictor: Predictor,
    trips: TripBatch,
    minutes: NDArray[np.float64],
    *,
    late_minutes: float = 15.0,
    liars: float = 0.0,
    level: float = DEFAULT_LEVEL,
    report: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Replay trips in event-time order.

    Args:
        predictor: The model, which stays as it is.
        trips: The trips, in any order.
        minutes: float64, their real durations.
        late_minutes: Minutes between the end of a ride and its report.
        liars: Share of the outcomes that one of ACCOUNTS accounts reports LIE_FACTOR times too long; 0 for a single
            honest account.
        level: Level of the intervals.
        report: Receives a line of progress now and then.
    """
    order = np.argsort(trips.pickup_at.astype(np.int64), kind="stable")
    trips, real = trips.take(order), minutes[order]
    asked_at = trips.pickup_at.astype(np.int64).astype(np.float64)
    static = {variant: _static_answers(predictor, trips, variant, level) for variant in Variant}
    live = {variant: Answers.blank(len(trips)) for variant in Variant}
    arrivals = _Arrivals(predictor, *_reported(trips, real, asked_at, late_minutes, liars), static, live)
    state = LiveState()
    bins, starts = np.unique(asked_at // BIN_SECONDS, return_index=True)
    for number, (time_bin, start, end) in enumerate(zip(bins, starts, [*starts[1:], len(trips)], strict=True)):
        for outcomes in arrivals.until(float(time_bin) * BIN_SECONDS):
            state.learn(outcomes)
        asked = np.arange(start, end)
        for variant in Variant:
            rows = asked[variant.mask(trips.take(asked))]
            if len(rows):
                adjuster = state.adjuster(asked_at[rows], asked_at[rows])
                batch = variant.inputs(trips.take(rows))
                live[variant].fill(rows, predictor.predict(batch, level=level, adjuster=adjuster))
        if number and number % _PROGRESS_BINS == 0:
            report(f"{trips.pickup_at[start]}: {start:,} of {len(trips):,} trips")
    return Replay(trips, real, static, live, state)


def _static_answers(predictor: Predictor, trips: TripBatch, variant: Variant, level: float) -> Answers:
    answers, rows = Answers.blank(len(trips)), np.flatnonzero(variant.mask(trips))
    for part in np.split(rows, range(_BLOCK_ROWS, len(rows), _BLOCK_ROWS)):
        answers.fill(part, predictor.predict(variant.inputs(trips.take(part)), level=level))
    return answers


class _Arrivals:
    """Outcomes in the order of their reports. The model answers them in blocks, the state learns them as they come."""

    def __init__(
        self,
        predictor: Predictor,
        trip: NDArray[np.int64],
        outcomes: LiveOutcomes,
        static: dict[Variant, Answers],
        live: dict[Variant, Answers],
    ) -> None:
        """Take usable outcomes, the trip of each, and the answers to the trips so far."""
        self._predictor, self._trip, self._outcomes = predictor, trip, outcomes
        self._static, self._live = static, live
        self._learned = self._block_start = 0
        self._block: PreparedOutcomes | None = None

    def until(self, moment: float) -> Iterator[PreparedOutcomes]:
        """Yield the outcomes that have arrived by Unix seconds and were not yielded before."""
        arrived = int(np.searchsorted(self._outcomes.arrived_at, moment, side="right"))
        while self._learned < arrived:
            if self._block is None or self._learned >= self._block_start + _BLOCK_ROWS:
                self._block_start = self._learned
                rows = slice(self._learned, self._learned + _BLOCK_ROWS)
                self._block = PreparedOutcomes.from_model(self._predictor, self._outcomes.take(rows))
            end = min(arrived, self._block_start + _BLOCK_ROWS)
            trips = self._trip[self._learned : end]
            answered = {
                variant: np.log(self._live[variant].minutes[trips] / self._static[variant].minutes[trips])
                for variant in Variant
            }
            yield self._block.take(slice(self._learned - self._block_start, end - self._block_start), answered)
            self._learned = end


def _reported(
    trips: TripBatch, real: NDArray[np.float64], asked_at: NDArray[np.float64], late_minutes: float, liars: float
) -> tuple[NDArray[np.int64], LiveOutcomes]:
    """Return the trip of each usable outcome, and the outcomes, in the order of their reports."""
    account = np.zeros(len(trips), dtype=np.int64)
    said = real
    if liars > 0:
        random = np.random.default_rng(0)
        lies = random.random(len(trips)) < liars
        account = np.where(lies, 0, random.integers(1, ACCOUNTS, len(trips)))
        said = np.where(lies, np.minimum(real * LIE_FACTOR, 180.0), real)
    # A liar reports when the ride really ended: the service refuses a report before the end that it states.
    ended_at = asked_at + real * 60
    arrived_at = ended_at + late_minutes * 60
    order = np.argsort(arrived_at, kind="stable").astype(np.int64)
    outcomes = LiveOutcomes(trips, said, ended_at, arrived_at, account).take(order)
    usable = outcomes.usable
    return order[usable], outcomes.take(usable)


def summarise_replay(replay: Replay, *, level: float = DEFAULT_LEVEL) -> dict[str, Any]:
    """Return the figures of a replay by variant, and the state that it ended with, as JSON values."""
    return {
        "level": level,
        "variants": {variant.value: _summarise_variant(replay, variant, level) for variant in Variant},
        "state": describe_state(replay.state),
    }


def _summarise_variant(replay: Replay, variant: Variant, level: float) -> dict[str, Any]:
    pickup, borough = replay.trips.pickup_at, np.array(["", *(zone.borough or "" for zone in zones())])
    keys: dict[str, NDArray[Any]] = {
        "month": pickup.astype("datetime64[M]").astype(str),
        "day": pickup.astype("datetime64[D]").astype(str),
        "hour": hour_of_day(pickup),
        "pickup_borough": borough[replay.trips.pickup_zone],
    }
    answered = ~np.isnan(replay.static[variant].minutes)
    figures = {"static": _figures(replay, replay.static[variant], level)}
    figures["live"] = _figures(replay, replay.live[variant], level)
    document: dict[str, Any] = {"overall": _row(figures, answered)}
    for name, values in keys.items():
        document[f"by_{name}"] = [
            {name: value.item(), **_row(figures, answered & (values == value))} for value in np.unique(values[answered])
        ]
    days = document["by_day"]
    document["days"] = len(days)
    document["days_outside"] = {
        kind: sum(abs(day[kind]["coverage"] - level) > MAX_COVERAGE_ERROR for day in days) for kind in figures
    }
    document["worst_day"] = max(days, key=lambda day: day["live"]["mae_minutes"], default=None)
    return document


def _figures(replay: Replay, answers: Answers, level: float) -> dict[str, NDArray[np.float64]]:
    """Return measures of each trip; the interval score is that of Gneiting and Raftery (2007), equation 43."""
    real, low, high = replay.real, answers.low, answers.high
    error = answers.minutes - real
    penalty = 2 / (1 - level) * (np.maximum(low - real, 0) + np.maximum(real - high, 0))
    return {
        "mae_minutes": np.abs(error),
        "rmse_minutes": error**2,
        "bias_minutes": error,
        "coverage": ((real >= low) & (real <= high)).astype(np.float64),
        "width_minutes": high - low,
        "interval_score": high - low + penalty,
    }


def _row(figures: dict[str, dict[str, NDArray[np.float64]]], rows: NDArray[np.bool_]) -> dict[str, Any]:
    row: dict[str, Any] = {"trips": int(rows.sum())}
    if not row["trips"]:
        return row
    for kind, measures in figures.items():
        means = {name: float(values[rows].mean()) for name, values in measures.items()}
        means["rmse_minutes"] = means["rmse_minutes"] ** 0.5
        row[kind] = {name: round(value, 4) for name, value in means.items()}
    return row
