"""How much the outcomes of each account count, so that no single account decides the correction.

Two rules, on the outcomes of the last days (half-life 2 days):

1. Share: with several accounts, none counts for more than a third, or for an equal share where there are two
   (`limited_counts`).
2. Consistency: from three accounts on, an account whose mean residual differs from the median of the accounts beyond
   noise does not count until it agrees again. Traffic moves all accounts; a broken meter or a liar moves one.

Accounts with few outcomes count in full, unless they contradict the others, and limit nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from logitrack_assets.eta.live.cells import DAY_SECONDS
from logitrack_assets.eta.live_error import MIN_ACCOUNT_OUTCOMES, limited_counts, weighted_median

HALF_LIFE_DAYS = 2.0
MAX_DEVIATION = 0.15
"""Difference of an account's mean log residual from the median, beyond three standard errors, that is still normal:
the rides of one client may differ from those of another in ways that the model does not see."""
MAX_STANDARD_ERRORS = 3.0
MIN_COMPARED_OUTCOMES, MIN_COMPARED_ACCOUNTS = 5, 3
MAX_ACCOUNTS = 1_000
"""Accounts that are remembered; the one with the fewest outcomes is forgotten first."""
OUTCOMES_BETWEEN_REVIEWS = 16


@dataclass
class AccountWeights:
    """Decayed statistics of the residuals of each account, and the weights that follow.

    Attributes:
        statistics: By account: decayed count, sum and sum of squares of the residuals, and Unix seconds of the last.
        weights: By account, the weight of its outcomes; 1 where missing.
        unreviewed: Outcomes since the weights were computed.
    """

    statistics: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    weights: dict[int, float] = field(default_factory=dict)
    unreviewed: int = 0

    def copy(self) -> AccountWeights:
        """Return an independent copy."""
        return AccountWeights(dict(self.statistics), dict(self.weights), self.unreviewed)

    def weight(self, account: int) -> float:
        """Return the weight of an account's outcomes, 0 to 1."""
        return self.weights.get(account, 1.0)

    @property
    def excluded(self) -> list[int]:
        """The accounts whose outcomes do not count at present."""
        return sorted(account for account, weight in self.weights.items() if weight == 0.0)

    def add(self, account: int, residual: float, *, now: float) -> None:
        """Add an outcome's residual, what the correction left of it."""
        count, total, squares, at = self.statistics.get(account, (0.0, 0.0, 0.0, now))
        decay = _decay(now - at)
        self.statistics[account] = (
            count * decay + 1.0,
            total * decay + residual,
            squares * decay + residual * residual,
            now,
        )
        self.unreviewed += 1
        if self.unreviewed >= OUTCOMES_BETWEEN_REVIEWS:
            self.unreviewed = 0
            self._review(now)

    def _review(self, now: float) -> None:
        counts = {account: entry[0] * _decay(now - entry[3]) for account, entry in self.statistics.items()}
        for account in sorted(counts, key=lambda key: (counts[key], key))[: max(len(counts) - MAX_ACCOUNTS, 0)]:
            del self.statistics[account], counts[account]
        large = {account: round(count) for account, count in counts.items() if count >= MIN_ACCOUNT_OUTCOMES}
        limits = dict(zip(large, limited_counts(list(large.values())), strict=True))
        self.weights = {account: limits[account] / large[account] for account in large}
        for account in self._inconsistent(counts):
            self.weights[account] = 0.0

    def _inconsistent(self, counts: dict[int, float]) -> list[int]:
        """Return the accounts whose mean residual differs from the median of the accounts beyond noise."""
        known = {account: count for account, count in counts.items() if count >= MIN_COMPARED_OUTCOMES}
        if len(known) < MIN_COMPARED_ACCOUNTS:
            return []
        shares = limited_counts([round(count) for count in known.values()])
        means, spreads = {}, []
        for account in known:
            count, total, squares, _ = self.statistics[account]
            means[account] = total / count
            spreads.append(math.sqrt(max(squares / count - means[account] ** 2, 0.0)))
        median, spread = weighted_median(list(means.values()), shares), weighted_median(spreads, shares)
        # The spread of all accounts: that of a few equal lies is 0, and that of a few honest rides is small by chance.
        return [
            account
            for account, mean in means.items()
            if abs(mean - median) > MAX_DEVIATION + MAX_STANDARD_ERRORS * spread / math.sqrt(known[account])
        ]


def _decay(seconds: float) -> float:
    return float(0.5 ** (max(seconds, 0.0) / (HALF_LIFE_DAYS * DAY_SECONDS)))
