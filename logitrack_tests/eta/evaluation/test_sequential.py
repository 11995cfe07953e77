"""The sequential test: how often equal models are told apart, and how soon a better one is found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from logitrack_assets.eta.evaluation.sequential import LOG_WEALTH_OF_EVIDENCE, MAX_GAIN_MINUTES, MAX_OUTCOMES, Evidence

TYPICAL_LOG_MINUTES, SPREAD_OF_RIDES, SPREAD_OF_TRAFFIC = 2.5, 0.6, 0.33


def first_evidence(*, old_noise: float, new_noise: float, runs: int, seed: int) -> tuple[NDArray[np.int64], float]:
    """Simulate comparisons of two models that differ in the spread of their own log errors.

    Returns:
        Number of outcomes at which each run had evidence, int64 (runs,), or MAX_OUTCOMES + 1 without; and the share by
        which the new model's mean absolute error is lower.
    """
    random = np.random.default_rng(seed)
    evidence, found = Evidence(), np.full(runs, MAX_OUTCOMES + 1)
    old_total = new_total = 0.0
    for number in range(1, MAX_OUTCOMES + 1):
        typical = random.normal(TYPICAL_LOG_MINUTES, SPREAD_OF_RIDES, runs)
        real = np.exp(typical + random.normal(0, SPREAD_OF_TRAFFIC, runs))
        old, new = (np.abs(np.exp(typical + random.normal(0, noise, runs)) - real) for noise in (old_noise, new_noise))
        evidence.add(old - new)
        old_total, new_total = old_total + old.sum(), new_total + new.sum()
        found = np.where((evidence.log_wealth >= LOG_WEALTH_OF_EVIDENCE) & (found > number), number, found)
        if (found <= number).all():
            break
    return found, 1 - new_total / old_total


def test_equal_models_are_told_apart_in_at_most_5_percent_of_1000_runs():
    found, _ = first_evidence(old_noise=0.07, new_noise=0.07, runs=1_000, seed=3)
    assert np.mean(found <= MAX_OUTCOMES) <= 0.05


def test_model_that_is_2_percent_better_is_found_within_20000_outcomes_in_90_percent():
    found, better_by = first_evidence(old_noise=0.085, new_noise=0.05, runs=200, seed=4)
    assert 0.015 < better_by < 0.022
    assert np.mean(found <= MAX_OUTCOMES) >= 0.9


def test_worse_model_is_not_found():
    found, better_by = first_evidence(old_noise=0.05, new_noise=0.085, runs=200, seed=5)
    assert better_by < -0.015
    assert (found > MAX_OUTCOMES).mean() > 0.99


def test_one_strange_outcome_counts_at_most_the_limit():
    ordinary, strange = Evidence(), Evidence()
    for evidence, gain in ((ordinary, MAX_GAIN_MINUTES), (strange, 1e9)):
        for gain_minutes in (0.5, gain, -0.5):
            evidence.add(gain_minutes)
    assert vars(ordinary) == vars(strange)


def test_decisions():
    better, hopeless = Evidence(), Evidence()
    assert better.decision == "undecided"
    while better.decision == "undecided":
        better.add(1.0)
    assert better.decision == "better"
    assert better.mean_gain_minutes == pytest.approx(1.0)
    assert 50 < better.outcomes < 200
    for _ in range(MAX_OUTCOMES):
        hopeless.add(-0.01)
    assert hopeless.decision == "no evidence"
