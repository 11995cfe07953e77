"""The safety switch: a running comparison of the corrected with the uncorrected answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from logitrack_assets.eta.live.cells import DAY_SECONDS

HALF_LIFE_DAYS = 4.0
MIN_OUTCOMES = 50.0
"""Decayed outcomes below which a difference says nothing."""
MAX_STANDARD_ERRORS = 3.0


@dataclass
class SafetySwitch:
    """Switches the correction off when it makes errors larger beyond noise, and on again when it would help.

    The comparison goes on while it is off: both answers are known for each outcome.

    Attributes:
        enabled: Whether the correction is applied.
        outcomes: Decayed number of outcomes.
        total: Decayed sum of the differences in minutes: error with the correction minus error without.
        squares: Decayed sum of their squares.
        at: Unix seconds of the last outcome.
    """

    enabled: bool = True
    outcomes: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    at: float = 0.0

    def copy(self) -> SafetySwitch:
        """Return an independent copy."""
        return replace(self)

    @property
    def mean_difference_minutes(self) -> float:
        """Mean error with the correction minus mean error without; negative where it helps, 0 without outcomes."""
        return self.total / self.outcomes if self.outcomes else 0.0

    def add(self, difference_minutes: float, *, weight: float, now: float) -> None:
        """Add an outcome and set the switch."""
        decay = 0.5 ** (max(now - self.at, 0.0) / (HALF_LIFE_DAYS * DAY_SECONDS))
        self.at = now
        self.outcomes = self.outcomes * decay + weight
        self.total = self.total * decay + weight * difference_minutes
        self.squares = self.squares * decay + weight * difference_minutes**2
        if self.outcomes < MIN_OUTCOMES:
            return
        mean = self.mean_difference_minutes
        error = math.sqrt(max(self.squares / self.outcomes - mean * mean, 0.0) / self.outcomes)
        if mean > MAX_STANDARD_ERRORS * error:
            self.enabled = False
        elif mean <= 0:
            self.enabled = True
