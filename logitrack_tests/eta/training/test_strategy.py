"""The steadiest recipe that is good enough, decided as it will be used."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.training.backtest import Fold, choose
from logitrack_assets.eta.training.strategy import STRATEGIES, TrainingStrategy, distinct
from logitrack_tests.eta.examples import FACTS

STEADY, _, WEIGHTED, QUICK = STRATEGIES


def folds(errors: dict[TrainingStrategy, list[float]]) -> list[Fold]:
    """Folds of months 0, 1, 2 … with these errors."""
    none = np.array([])
    return [
        Fold(recipe, month, False, 1, none, none, FACTS.model_copy(update={"mae_minutes": error}))
        for recipe, row in errors.items()
        for month, error in enumerate(row)
    ]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        (
            {STEADY: [3.48, 3.55, 3.76], QUICK: [3.50, 3.66, 3.71]},
            STEADY,
        ),  # calm: better by luck is not enough
        (
            {STEADY: [3.30, 3.36, 5.43], QUICK: [3.40, 3.52, 3.01]},
            QUICK,
        ),  # the first month of another traffic
        # later: having lost the month of the change does not weigh against who does better since
        ({STEADY: [5.4, 5.0, 4.1], WEIGHTED: [4.87, 2.90, 3.05], QUICK: [2.83, 3.00, 3.12]}, WEIGHTED),
    ],
)
def test_the_choice_follows_traffic_and_not_luck(errors, chosen):
    assert choose(list(errors), folds(errors), [0, 1, 2]) == chosen


def test_recipes_that_would_be_the_same_are_run_once():
    assert distinct(STRATEGIES, 5) == [STEADY, WEIGHTED, QUICK]
    assert distinct(STRATEGIES, 12) == [STEADY, WEIGHTED, QUICK]
    assert distinct(STRATEGIES, 30) == list(STRATEGIES)


def test_old_months_count_less_where_the_newest_count_most():
    weights = WEIGHTED.weights([600, 601, 603])
    assert weights == {600: pytest.approx(0.225), 601: pytest.approx(0.35), 603: pytest.approx(1.1)}
    assert set(STEADY.weights([600, 601]).values()) == {1.0}
