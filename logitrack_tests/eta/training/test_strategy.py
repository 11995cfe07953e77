"""Training strategies: duplicates for short histories, and weights by month."""

from __future__ import annotations

import pytest

from logitrack_assets.eta.training.strategy import STRATEGIES, distinct_strategies
from logitrack_assets.months import Month

STABLE, _, WEIGHTED, RESPONSIVE = STRATEGIES


def test_strategies_that_coincide_are_run_once():
    assert distinct_strategies(STRATEGIES, 5) == [STABLE, WEIGHTED, RESPONSIVE]
    assert distinct_strategies(STRATEGIES, 12) == [STABLE, WEIGHTED, RESPONSIVE]
    assert distinct_strategies(STRATEGIES, 30) == list(STRATEGIES)


def test_weights_halve_by_month_down_to_the_minimum():
    weights = WEIGHTED.weights([Month(600), Month(601), Month(603)])
    expected = {600: 0.225, 601: 0.35, 603: 1.1}
    assert weights == {Month(number): pytest.approx(weight) for number, weight in expected.items()}
    assert set(STABLE.weights([Month(600), Month(601)]).values()) == {1.0}
