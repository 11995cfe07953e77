"""Adaptive intervals: slow tracking of both tails, so that coverage follows the traffic.

Quantile tracking (Gibbs and Candès 2021; Angelopoulos, Candès, Tibshirani 2023) on the logarithm of a scale for each
tail. One scale serves all levels, so the quantiles of two levels never cross. The step is inverse to the volume, so
that the tails move by the same amount in a day whether a fleet has a hundred rides a day or a hundred thousand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

TRACKED_LEVEL = 0.8
STEP_TIMES_OUTCOMES = 40.0
"""Step of an outcome times the decayed number of outcomes (half-life 2 days); 0.007 at 1,900 outcomes a day. On yellow
2020-03 to 06 (10,000 trips a month) 8 of 122 days are outside 76 to 84%; with 11 there are 17, and the interval score
is 0.3% lower."""
MAX_STEP = 0.03
MAX_LOG_SCALE = 1.2
_MIN_LOG_RATIO = 0.02  # of a tail's static quantile: a scale could not widen an interval of width 0

_TAIL = (1 - TRACKED_LEVEL) / 2


@dataclass
class TailScales:
    """Factors on the logarithm of the static interval's ends.

    Attributes:
        low: log of the factor of the lower tail.
        high: log of the factor of the upper tail.
    """

    low: float = 0.0
    high: float = 0.0

    def copy(self) -> TailScales:
        """Return an independent copy."""
        return replace(self)

    def factors(self) -> tuple[float, float]:
        """Return the factors of both tails."""
        return math.exp(self.low), math.exp(self.high)

    def add(self, left: float, low_log: float, high_log: float, *, weight: float, outcomes: float) -> None:
        """Widen the tail that an outcome lies beyond, narrow the others.

        Args:
            left: log(real / answered).
            low_log: Static log ratio of the interval's lower end at TRACKED_LEVEL, at most 0.
            high_log: The same of the upper end, at least 0.
            weight: Weight of the outcome.
            outcomes: Decayed number of outcomes.
        """
        step = weight * min(MAX_STEP, STEP_TIMES_OUTCOMES / max(outcomes, 1.0))
        low, high = self.factors()
        below = left < low * min(low_log, -_MIN_LOG_RATIO)
        above = left > high * max(high_log, _MIN_LOG_RATIO)
        self.low = _bounded(self.low + step * (below - _TAIL))
        self.high = _bounded(self.high + step * (above - _TAIL))


def _bounded(log_scale: float) -> float:
    return min(max(log_scale, -MAX_LOG_SCALE), MAX_LOG_SCALE)
