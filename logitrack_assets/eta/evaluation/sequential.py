"""Evidence that a model is better than another one, from paired outcomes, which may be looked at after every outcome.

A gambler bets that the next outcome favours the challenger. While that is untrue the expected wealth never grows, so
it reaches 1/α with a probability of at most α, however often one looks and whenever one stops (Ville's inequality;
Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_FALSE_PROMOTIONS = 0.05
LOG_WEALTH_OF_EVIDENCE = -np.log(MAX_FALSE_PROMOTIONS)
MAX_GAIN_MINUTES = 10.0
"""Gains beyond it count as it: the bets need a bound, and one strange ride should decide nothing."""

MAX_BET = 0.5 / MAX_GAIN_MINUTES
PRIOR_SQUARES = 40.0
"""Sum of squared gains (minutes²) that the bets begin with, so that the first outcomes are bet on carefully."""

MAX_OUTCOMES = 20_000
"""Outcomes after which a challenger without evidence is dropped."""

Decision = Literal["better", "undecided", "no evidence"]


@dataclass
class Evidence:
    """What the outcomes so far say about a challenger. Sums are numbers, or arrays for comparisons side by side.

    Attributes:
        outcomes: Number of outcomes.
        gain_sum: Sum of the gains: the champion's absolute error minus the challenger's, in minutes.
        gain_squares: Sum of their squares.
        log_wealth: Logarithm of the gambler's wealth, which began at 1.
    """

    outcomes: int = 0
    gain_sum: float | NDArray[np.float64] = 0.0
    gain_squares: float | NDArray[np.float64] = 0.0
    log_wealth: float | NDArray[np.float64] = 0.0

    def add(self, gain_minutes: float | NDArray[np.float64]) -> None:
        """Add the gain of an outcome: how much nearer the challenger was than the champion, in minutes."""
        gain = np.clip(gain_minutes, -MAX_GAIN_MINUTES, MAX_GAIN_MINUTES)
        self.log_wealth = self.log_wealth + np.log1p(self._bet() * gain)
        self.outcomes += 1
        self.gain_sum = self.gain_sum + gain
        self.gain_squares = self.gain_squares + gain * gain

    def _bet(self) -> float | NDArray[np.float64]:
        """Return the share of the wealth per minute of gain, from earlier outcomes only: mean by second moment."""
        bet: NDArray[np.float64] = np.clip(self.gain_sum / (self.gain_squares + PRIOR_SQUARES), 0.0, MAX_BET)
        return bet

    @property
    def mean_gain_minutes(self) -> float:
        """Mean gain; 0 without outcomes."""
        return float(self.gain_sum) / self.outcomes if self.outcomes else 0.0

    @property
    def decision(self) -> Decision:
        """Whether the challenger is better, may still turn out to be, or is dropped."""
        if self.log_wealth >= LOG_WEALTH_OF_EVIDENCE:
            return "better"
        return "no evidence" if self.outcomes >= MAX_OUTCOMES else "undecided"
