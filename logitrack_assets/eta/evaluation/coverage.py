"""Tests whether the coverage of intervals deviates from its level, with a stated error rate.

Coverage of split conformal intervals varies for two reasons: the test set is finite, and so is the calibration set
(Vovk 2012, "Conditional validity of inductive conformal predictors", proposition 2a). Both sets are halves of one month
here, so the variance is twice the binomial one. A deviation counts only when it exceeds a tolerance, which is a matter
of usefulness, by more than chance explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from logitrack_assets.eta.artifact import SliceMetrics
from logitrack_assets.eta.evaluation.slices import MIN_SLICE_TRIPS

ERROR_RATE = 0.01
"""Probability that at least one of the tests of a family finds a deviation beyond the tolerance where there is none."""
MAX_UNDER_COVERAGE, MAX_OVER_COVERAGE = 0.03, 0.06
"""Tolerances of overall coverage. Intervals that are too narrow mislead, intervals that are too wide only say less."""
MAX_SLICE_COVERAGE_ERROR = 0.06
"""Tolerance of a slice's coverage, in both directions."""

_VARIANCE_FACTOR = 2.0
_NORMAL = NormalDist()


def p_value_beyond(coverage: float, trips: int, bound: float) -> float:
    """Return the one-sided p-value of coverage beyond a bound away from one half, for the true coverage at the bound.

    Args:
        coverage: Share of covered trips.
        trips: Trips that the share was measured on; the intervals were calibrated on about as many.
        bound: The level plus or minus a tolerance.
    """
    deviation = (_VARIANCE_FACTOR * bound * (1 - bound) / trips) ** 0.5
    return _NORMAL.cdf(-abs(coverage - bound) / deviation)


def overall_deviation(coverage: float, trips: int, level: float, *, tests: int) -> bool:
    """Return whether overall coverage is beyond its tolerance.

    Args:
        coverage: Share of covered trips.
        trips: Trips that it was measured on.
        level: The intended share.
        tests: Number of coverages that are tested together (Bonferroni).
    """
    low, high = level - MAX_UNDER_COVERAGE, level + MAX_OVER_COVERAGE
    if low <= coverage <= high:
        return False
    return p_value_beyond(coverage, trips, low if coverage < low else high) < ERROR_RATE / tests


def deviating_slices(slices: Sequence[SliceMetrics], level: float) -> list[SliceMetrics]:
    """Return the slices of at least MIN_SLICE_TRIPS trips whose coverage is beyond the tolerance.

    The p-values of all slices are corrected together (Holm 1979), so that the error rate holds for the family.
    """
    large = [part for part in slices if part.trips >= MIN_SLICE_TRIPS]
    ranked = sorted(((_slice_p_value(part, level), index) for index, part in enumerate(large)))
    found = []
    for rank, (p_value, index) in enumerate(ranked):
        if p_value >= ERROR_RATE / (len(large) - rank):
            break
        found.append(large[index])
    return found


def _slice_p_value(part: SliceMetrics, level: float) -> float:
    low, high = level - MAX_SLICE_COVERAGE_ERROR, level + MAX_SLICE_COVERAGE_ERROR
    if low <= part.coverage <= high:
        return 1.0
    return p_value_beyond(part.coverage, part.trips, low if part.coverage < low else high)
