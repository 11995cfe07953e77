"""Finished rides as the live correction learns them: plausible ones, with the model's own answer for each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import MAX_MINUTES, MIN_MINUTES, Predictor, interval_groups
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live.cells import DAY_SECONDS, cells_of_trips
from logitrack_assets.eta.live.tails import TRACKED_LEVEL
from logitrack_assets.eta.variant import Variant

MAX_OUTCOME_AGE_DAYS = 28.0
MAX_CLOCK_SKEW_SECONDS = 60.0


@dataclass(frozen=True)
class LiveOutcomes:
    """Finished rides as equally long arrays, in the order in which they are learned.

    Attributes:
        trips: What was known at request time.
        minutes: float64, real duration.
        ended_at: float64, Unix seconds of the end of the ride.
        arrived_at: float64, Unix seconds of the report.
        account: int64, the account that reported it.
        answered_log: By variant float64, log(answered / uncorrected minutes) of the answer that the rider got; NaN
            where the variant, or the version that learns, gave no answer.
    """

    trips: TripBatch
    minutes: NDArray[np.float64]
    ended_at: NDArray[np.float64]
    arrived_at: NDArray[np.float64]
    account: NDArray[np.int64]
    answered_log: dict[Variant, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.minutes)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether each outcome can be true: a duration that trips can have, an end that is neither ahead nor long past.

        What the service counts is plausible already; this is the last line of defence of the state.
        """
        age = self.arrived_at - self.ended_at
        with np.errstate(invalid="ignore"):
            return (
                np.isfinite(self.arrived_at)
                & (self.minutes >= MIN_MINUTES)
                & (self.minutes <= MAX_MINUTES)
                & (age >= -MAX_CLOCK_SKEW_SECONDS)
                & (age <= MAX_OUTCOME_AGE_DAYS * DAY_SECONDS)
            )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> LiveOutcomes:
        """Return the selected rows."""
        return LiveOutcomes(
            self.trips.take(rows),
            self.minutes[rows],
            self.ended_at[rows],
            self.arrived_at[rows],
            self.account[rows],
            {variant: answered[rows] for variant, answered in self.answered_log.items()},
        )


@dataclass(frozen=True)
class VariantOutcomes:
    """What one variant of a model says about outcomes, one entry for each.

    Attributes:
        applies: bool, whether the variant answers such a trip.
        base_minutes: float64, its uncorrected answer.
        cells: int64 (n, stages), from `cells_of_trips`.
        low_log: float64, log ratio of the static interval's lower end at the tracked level.
        high_log: float64, the same of the upper end.
        answered_log: float64, log(answered / uncorrected minutes) of the answer that was given; NaN where unknown.
    """

    applies: NDArray[np.bool_]
    base_minutes: NDArray[np.float64]
    cells: NDArray[np.int64]
    low_log: NDArray[np.float64]
    high_log: NDArray[np.float64]
    answered_log: NDArray[np.float64]


@dataclass(frozen=True)
class PreparedOutcomes:
    """Usable outcomes with the answers of both variants of a model.

    Attributes:
        outcomes: The outcomes.
        variants: The answers.
    """

    outcomes: LiveOutcomes
    variants: dict[Variant, VariantOutcomes]

    @classmethod
    def from_model(cls, predictor: Predictor, outcomes: LiveOutcomes) -> PreparedOutcomes:
        """Answer the usable outcomes with a model. Outcomes of rides that another model answered are welcome."""
        usable = outcomes.take(outcomes.usable)
        return cls(usable, {variant: _answer(predictor, usable, variant) for variant in Variant})

    def take(self, rows: slice, answered_log: dict[Variant, NDArray[np.float64]]) -> PreparedOutcomes:
        """Return a range of the outcomes, with the answers that their riders got (see `LiveOutcomes`)."""
        return PreparedOutcomes(
            self.outcomes.take(rows),
            {
                variant: VariantOutcomes(
                    answers.applies[rows],
                    answers.base_minutes[rows],
                    answers.cells[rows],
                    answers.low_log[rows],
                    answers.high_log[rows],
                    answered_log[variant],
                )
                for variant, answers in self.variants.items()
            },
        )


def _answer(predictor: Predictor, outcomes: LiveOutcomes, variant: Variant) -> VariantOutcomes:
    trips = outcomes.trips
    inputs = variant.inputs(trips)  # without a distance, the variant with distance answers like the other one
    minutes = predictor.minutes(inputs)
    groups = interval_groups(inputs, minutes)
    low, high = predictor.interval_factors(TRACKED_LEVEL)
    return VariantOutcomes(
        applies=variant.mask(trips),
        base_minutes=minutes,
        cells=cells_of_trips(inputs, minutes),
        low_log=np.log(low[groups]),
        high_log=np.log(high[groups]),
        answered_log=outcomes.answered_log.get(variant, np.full(len(trips), np.nan)),
    )
