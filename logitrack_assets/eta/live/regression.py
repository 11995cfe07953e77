"""A small ridge regression that decides how much of each stage's estimate is applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.live.cells import DAY_SECONDS, STAGES

PENALTY = 1.0
HALF_LIFE_DAYS = 28.0


@dataclass
class StageWeights:
    """Weights of the stages: ridge regression of the residual on the estimates, towards 0, refitted once a day.

    Attributes:
        gram: float64 (stages, stages), decayed sum of the outer products of the estimates.
        moment: float64 (stages,), decayed sum of estimates times residual.
        weights: float64 (stages,), 0 until the first refit.
        fitted_day: Day (Unix seconds / 86,400) of the last refit; -1 before the first outcome.
    """

    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    weights: NDArray[np.float64]
    fitted_day: int = -1

    @classmethod
    def empty(cls) -> Self:
        """Return weights of 0."""
        size = len(STAGES)
        return cls(np.zeros((size, size)), np.zeros(size), np.zeros(size))

    def copy(self) -> StageWeights:
        """Return an independent copy."""
        return StageWeights(self.gram.copy(), self.moment.copy(), self.weights.copy(), self.fitted_day)

    def add(self, estimates: NDArray[np.float64], residual: float, *, weight: float, now: float) -> None:
        """Add an outcome; the first one of a day refits the weights with those before it."""
        day = int(now // DAY_SECONDS)
        if day != self.fitted_day:
            self._refit(day)
        self.gram += weight * np.multiply.outer(estimates, estimates)
        self.moment += weight * residual * estimates

    def _refit(self, day: int) -> None:
        if self.fitted_day >= 0:
            days = max(day - self.fitted_day, 0)  # 0 where the clock was set back
            decay = 0.5 ** (days / HALF_LIFE_DAYS)
            self.gram *= decay
            self.moment *= decay
            penalty = PENALTY * np.eye(len(self.moment))
            self.weights = np.linalg.solve(self.gram + penalty, self.moment).astype(np.float64)
        self.fitted_day = day
