"""Paired comparison of two sets of predictions for the same trips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """Mean difference of absolute errors, new minus old, with its 95% confidence interval, in minutes.

    Attributes:
        trips: Number of trips.
        new_mae_minutes: Mean absolute error of the new predictions.
        old_mae_minutes: Mean absolute error of the old predictions.
        difference: Mean difference; negative where the new predictions are better.
        low: Lower end of the confidence interval of the difference.
        high: Upper end of the confidence interval of the difference.
    """

    trips: int
    new_mae_minutes: float
    old_mae_minutes: float
    difference: float
    low: float
    high: float


def paired_bootstrap(
    new: NDArray[np.float64], old: NDArray[np.float64], real: NDArray[np.float64], *, seed: int, draws: int = 1000
) -> Comparison:
    """Compare absolute errors on the same trips by the paired bootstrap (Efron 1979), 95% interval.

    Uses Poisson weights, one draw at a time, so that memory does not grow with the number of draws.

    Args:
        new: New predictions, minutes.
        old: Old predictions, minutes.
        real: Real minutes.
        seed: Seed of the draws.
        draws: Number of bootstrap draws.
    """
    new_error, old_error = np.abs(new - real), np.abs(old - real)
    difference = new_error - old_error
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        weights = random.poisson(1.0, len(difference))
        means[draw] = weights @ difference / max(int(weights.sum()), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Comparison(
        trips=len(real),
        new_mae_minutes=float(new_error.mean()),
        old_mae_minutes=float(old_error.mean()),
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
    )
