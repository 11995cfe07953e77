"""A cascade of exponentially decayed cell means of log residuals, O(1) for an outcome and for a question.

Sums and counts use forward decay (Cormode, Shkapenyuk, Srivastava, Xu: ICDE 2009): an outcome of time t enters with
the weight 2^((t - landmark) / half-life), and the prior is scaled to the time of the question. Late and out-of-order
outcomes therefore get the weight that they would have had in order, and no cell needs a time of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.live.cells import CELLS, HALF_LIFE_SECONDS, OFFSETS, PRIOR, STAGES

MAX_HALF_LIVES = 64.0
"""Half-lives between a landmark and the clock beyond which the landmark moves. Moving it by whole half-lives scales by
powers of two, which is exact."""

_HALF_LIVES = HALF_LIFE_SECONDS.tolist()
_PRIORS = PRIOR.tolist()
_ENDS = (*OFFSETS[1:], CELLS)
_MAX_EXPONENT = 1_000.0  # 2^1000 is finite


@dataclass
class Cascade:
    """Decayed sums and counts of all stages.

    Attributes:
        sums: float64 (CELLS,), decayed sums of what the earlier stages left of the log residuals.
        counts: float64 (CELLS,), decayed numbers of outcomes.
        landmarks: float64 (len(STAGES),), Unix seconds at which an outcome has the weight 1.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    landmarks: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Self:
        """Return a cascade without outcomes."""
        return cls(np.zeros(CELLS), np.zeros(CELLS), np.zeros(len(STAGES)))

    def copy(self) -> Cascade:
        """Return an independent copy."""
        return Cascade(self.sums.copy(), self.counts.copy(), self.landmarks.copy())

    def estimates(self, cells: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the estimate of each stage, float64 (n, len(STAGES)); 0 for a cell without outcomes.

        Args:
            cells: int64 (n, len(STAGES)), from `cells_of_trips`.
            at: float64 (n,), Unix seconds that the estimates are for. The further after the newest outcome, the nearer
                they are to 0.
        """
        exponents = (at[:, None] - self.landmarks) / HALF_LIFE_SECONDS
        priors = PRIOR * np.exp2(np.minimum(np.maximum(exponents, -MAX_HALF_LIVES), _MAX_EXPONENT))
        estimates: NDArray[np.float64] = self.sums[cells] / (self.counts[cells] + priors)
        return estimates

    def add(self, cells: list[int], residual: float, *, weight: float, ended_at: float, now: float) -> list[float]:
        """Add an outcome and return the estimates of the stages before it.

        Args:
            cells: Its cell in each stage.
            residual: log(real / predicted).
            weight: Weight of the outcome, 0 to 1; 0 adds nothing.
            ended_at: Unix seconds of the end of the ride, at most `now`: the decay runs from it.
            now: Unix seconds of the report.
        """
        before = []
        left = residual
        for stage, cell in enumerate(cells):
            half_life = _HALF_LIVES[stage]
            landmark = self._landmark(stage, now)
            total, count = self.sums.item(cell), self.counts.item(cell)
            estimate = total / (count + _PRIORS[stage] * math.exp2((now - landmark) / half_life))
            before.append(estimate)
            if weight:
                decayed = weight * math.exp2((ended_at - landmark) / half_life)
                self.sums[cell] = total + decayed * left
                self.counts[cell] = count + decayed
            left -= estimate
        return before

    def city_outcomes(self, now: float) -> float:
        """Return the decayed number of outcomes of the stage `city`."""
        landmark = self.landmarks.item(0)
        exponent = min(max((now - landmark) / _HALF_LIVES[0], -MAX_HALF_LIVES), _MAX_EXPONENT)
        return self.counts.item(0) * math.exp2(-exponent)

    def _landmark(self, stage: int, now: float) -> float:
        """Return the landmark of a stage, moved near `now` if it is far away."""
        landmark = self.landmarks.item(stage)
        distance = (now - landmark) / _HALF_LIVES[stage]
        if -MAX_HALF_LIVES <= distance <= MAX_HALF_LIVES:
            return landmark
        table = slice(OFFSETS[stage], _ENDS[stage])
        if distance < 0 or distance > _MAX_EXPONENT:
            # All outcomes have decayed to nothing, or the clock that dated them was ahead by many half-lives.
            self.sums[table] = self.counts[table] = 0.0
            self.landmarks[stage] = now
            return now
        moved = float(int(distance))
        self.sums[table] *= 2.0**-moved
        self.counts[table] *= 2.0**-moved
        self.landmarks[stage] = landmark + moved * _HALF_LIVES[stage]
        return self.landmarks.item(stage)
