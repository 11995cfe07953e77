"""The state of the live correction of one model version: what its outcomes taught it so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import Adjustment
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live.accounts import AccountWeights
from logitrack_assets.eta.live.cascade import Cascade
from logitrack_assets.eta.live.cells import cells_of_trips
from logitrack_assets.eta.live.outcomes import PreparedOutcomes, VariantOutcomes
from logitrack_assets.eta.live.regression import StageWeights
from logitrack_assets.eta.live.safety import SafetySwitch
from logitrack_assets.eta.live.tails import TailScales
from logitrack_assets.eta.variant import Variant
from logitrack_assets.nyc_calendar import to_wall_clock

MAX_LOG_CORRECTION = 1.0
"""Limit of a residual and of a correction: the real duration counts, and the answer moves, by a factor e at most."""


@dataclass
class VariantState:
    """The state of one variant.

    Attributes:
        cascade: Decayed means of the residuals.
        weights: How much of each stage is applied.
        safety: The comparison with the uncorrected answer.
        tails: Scales of the interval.
    """

    cascade: Cascade = field(default_factory=Cascade.empty)
    weights: StageWeights = field(default_factory=StageWeights.empty)
    safety: SafetySwitch = field(default_factory=SafetySwitch)
    tails: TailScales = field(default_factory=TailScales)

    def copy(self) -> VariantState:
        """Return an independent copy."""
        return VariantState(self.cascade.copy(), self.weights.copy(), self.safety.copy(), self.tails.copy())

    def log_corrections(self, cells: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log(corrected / uncorrected), float64 (n,), within MAX_LOG_CORRECTION; 0 while switched off."""
        if not self.safety.enabled:
            return np.zeros(len(cells))
        # A sum and no matrix product, whose rounding depends on the number of rows.
        applied: NDArray[np.float64] = (self.cascade.estimates(cells, at) * self.weights.weights).sum(axis=1)
        return np.minimum(np.maximum(applied, -MAX_LOG_CORRECTION), MAX_LOG_CORRECTION)

    def learn(
        self, row: int, answers: VariantOutcomes, minutes: float, *, weight: float, ended_at: float, now: float
    ) -> float:
        """Learn one outcome and return what the correction left of its log residual."""
        base = answers.base_minutes.item(row)
        ratio = math.log(minutes / base)
        residual = _clipped(ratio)
        estimates = np.array(
            self.cascade.add(answers.cells[row].tolist(), residual, weight=weight, ended_at=ended_at, now=now)
        )
        correction = _clipped(float(estimates @ self.weights.weights))
        if weight:
            self.weights.add(estimates, residual, weight=weight, now=now)
            # What was answered counts: with the state of today, answers look better than they were when given.
            answered = answers.answered_log.item(row)
            given = correction if math.isnan(answered) else answered
            compared = given or correction  # while the switch is off, what would be answered
            real, corrected = base * math.exp(residual), base * math.exp(compared)
            self.safety.add(abs(real - corrected) - abs(real - base), weight=weight, now=now)
            self.tails.add(
                ratio - (given if self.safety.enabled else 0.0),
                answers.low_log.item(row),
                answers.high_log.item(row),
                weight=weight,
                outcomes=self.cascade.city_outcomes(now),
            )
        return residual - correction


@dataclass
class LiveState:
    """The state of both variants of a version. Learning changes it; a copy can be learned from while it answers.

    Attributes:
        variants: The state of each variant.
        accounts: Weights of the reporting accounts.
        learned: Number of outcomes learned.
    """

    variants: dict[Variant, VariantState] = field(
        default_factory=lambda: {variant: VariantState() for variant in Variant}
    )
    accounts: AccountWeights = field(default_factory=AccountWeights)
    learned: int = 0

    def copy(self) -> LiveState:
        """Return an independent copy."""
        return LiveState(
            {variant: state.copy() for variant, state in self.variants.items()}, self.accounts.copy(), self.learned
        )

    def learn(self, prepared: PreparedOutcomes) -> None:
        """Learn outcomes one after the other, in their order."""
        outcomes = prepared.outcomes
        zones, distance = prepared.variants[Variant.ZONES], prepared.variants[Variant.DISTANCE]
        columns = zip(
            outcomes.minutes.tolist(),
            outcomes.ended_at.tolist(),
            outcomes.arrived_at.tolist(),
            outcomes.account.tolist(),
            distance.applies.tolist(),
            strict=True,
        )
        for row, (minutes, ended_at, now, account, with_distance) in enumerate(columns):
            weight, ended = self.accounts.weight(account), min(ended_at, now)
            left = self.variants[Variant.ZONES].learn(row, zones, minutes, weight=weight, ended_at=ended, now=now)
            if with_distance:
                self.variants[Variant.DISTANCE].learn(row, distance, minutes, weight=weight, ended_at=ended, now=now)
            self.accounts.add(account, left, now=now)
            self.learned += 1

    def question_adjuster(self, asked_at: datetime, trips: TripBatch) -> StateAdjuster:
        """Return what a predictor takes to correct the answers to questions.

        The log of predictions holds both arguments, so the answer can be computed again: whole seconds count, and the
        time from the question to the pickup is that of New York's wall clock.

        Args:
            asked_at: When the questions are asked.
            trips: The trips that are asked for.
        """
        wall_clock = np.datetime64(to_wall_clock(asked_at), "s").astype(np.int64)
        ahead = trips.pickup_at.astype(np.int64) - wall_clock
        now = float(int(asked_at.timestamp()))
        return self.adjuster(np.full(1, now), now + ahead.astype(np.float64))

    def adjuster(self, now: NDArray[np.float64], pickup_at: NDArray[np.float64]) -> StateAdjuster:
        """Return what a predictor takes to correct its answers.

        Args:
            now: float64 (n,) or (1,), Unix seconds at which the questions are asked.
            pickup_at: float64 (n,), Unix seconds of the pickups. The further they are from now, the less is corrected.
        """
        return StateAdjuster(self, now + np.abs(pickup_at - now))


@dataclass(frozen=True)
class StateAdjuster:
    """Corrects a predictor's answers by a state.

    Attributes:
        state: The state.
        at: float64 (n,), Unix seconds up to which the state decays for each trip.
    """

    state: LiveState
    at: NDArray[np.float64]

    def adjust(self, trips: TripBatch, minutes: NDArray[np.float64]) -> Adjustment:
        """Return the correction of uncorrected minutes."""
        known = trips.distance_known
        cells = cells_of_trips(trips, minutes)
        if known.all():
            return self._adjust_variant(Variant.DISTANCE, cells, self.at)
        if not known.any():
            return self._adjust_variant(Variant.ZONES, cells, self.at)
        adjustment = Adjustment(*(np.empty(len(trips)) for _ in range(3)))
        for variant, rows in ((Variant.DISTANCE, known), (Variant.ZONES, ~known)):
            part = self._adjust_variant(variant, cells[rows], self.at[rows])
            adjustment.log_factor[rows] = part.log_factor
            adjustment.low_scale[rows] = part.low_scale
            adjustment.high_scale[rows] = part.high_scale
        return adjustment

    def _adjust_variant(self, variant: Variant, cells: NDArray[np.int64], at: NDArray[np.float64]) -> Adjustment:
        state = self.state.variants[variant]
        low, high = state.tails.factors()
        return Adjustment(state.log_corrections(cells, at), np.full(len(cells), low), np.full(len(cells), high))


def describe_state(state: LiveState) -> dict[str, Any]:
    """Return what a person wants to know of a state, as JSON values."""
    return {
        "outcomes": state.learned,
        "excluded_accounts": len(state.accounts.excluded),
        **{
            variant.value: {
                "enabled": part.safety.enabled,
                "difference_minutes": round(part.safety.mean_difference_minutes, 4),
                "compared_outcomes": round(part.safety.outcomes, 1),
                "low_scale": round(part.tails.factors()[0], 4),
                "high_scale": round(part.tails.factors()[1], 4),
                "weights": np.round(part.weights.weights, 3).tolist(),
            }
            for variant, part in state.variants.items()
        },
    }


def _clipped(residual: float) -> float:
    return min(max(residual, -MAX_LOG_CORRECTION), MAX_LOG_CORRECTION)
