"""Selection of the training strategy from the folds' errors."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.training.backtest import Fold, best_strategy
from logitrack_assets.eta.training.strategy import STRATEGIES, TrainingStrategy
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month
from logitrack_tests.eta.examples import ERRORS

STABLE, _, WEIGHTED, RESPONSIVE = STRATEGIES
MONTHS = [Month(0), Month(1), Month(2)]


def folds_with(errors: dict[TrainingStrategy, list[float]]) -> list[Fold]:
    """Return folds of MONTHS with these mean absolute errors."""
    none = np.array([])
    return [
        Fold(strategy, month, Variant.ZONES, 1, none, none, ERRORS.model_copy(update={"mae_minutes": error}))
        for strategy, row in errors.items()
        for month, error in zip(MONTHS, row, strict=True)
    ]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        pytest.param({STABLE: [3.48, 3.55, 3.76], RESPONSIVE: [3.50, 3.66, 3.71]}, STABLE, id="calm months"),
        pytest.param(
            {STABLE: [3.30, 3.36, 5.43], RESPONSIVE: [3.40, 3.52, 3.01]}, RESPONSIVE, id="first month of a change"
        ),
        pytest.param(
            {STABLE: [5.4, 5.0, 4.1], WEIGHTED: [4.87, 2.90, 3.05], RESPONSIVE: [2.83, 3.00, 3.12]},
            WEIGHTED,
            id="a large error in the month of the change does not exclude a strategy that is better since",
        ),
    ],
)
def test_best_strategy_follows_traffic_changes_but_not_noise(errors, chosen):
    assert best_strategy(list(errors), folds_with(errors), MONTHS) == chosen
