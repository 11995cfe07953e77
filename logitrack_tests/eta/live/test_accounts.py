"""No single account decides the correction: shares, a liar among honest accounts, forgetting."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.live import LiveOutcomes, LiveState, PreparedOutcomes
from logitrack_assets.eta.live.accounts import MAX_ACCOUNTS, AccountWeights
from logitrack_tests.eta.live.rides import DAY, MODEL_MINUTES, START, merge, rides, trips_at


def answer_after(predictor: Predictor, outcomes: LiveOutcomes) -> tuple[float, LiveState]:
    state = LiveState()
    state.learn(PreparedOutcomes.from_model(predictor, outcomes))
    asked = np.full(50, outcomes.arrived_at.max())
    return float(predictor.predict(trips_at(asked), adjuster=state.adjuster(asked, asked)).minutes.mean()), state


def test_a_liar_with_a_fifth_of_the_outcomes_moves_the_answer_by_less_than_3_percent(predictor: Predictor) -> None:
    """Four honest accounts and one that reports three times the duration, for a week."""
    honest = [rides(300, days=7, seed=account, account=account) for account in range(1, 5)]
    liar = rides(300, ratio=3.0, days=7, seed=9, account=9)
    answered, state = answer_after(predictor, merge(*honest, liar))
    assert answered == pytest.approx(MODEL_MINUTES, rel=0.03)
    assert state.accounts.excluded == [9]


def test_a_change_that_all_accounts_see_excludes_nobody(predictor: Predictor) -> None:
    parts = [
        rides(300, ratio=ratio, days=4, first_day=first, seed=account, account=account)
        for account in range(1, 6)
        for ratio, first in ((1.0, 0), (0.6, 4))
    ]
    answered, state = answer_after(predictor, merge(*parts))
    assert state.accounts.excluded == []
    assert answered == pytest.approx(0.6 * MODEL_MINUTES, rel=0.08)


def test_an_account_that_stops_lying_counts_again(predictor: Predictor) -> None:
    honest = [rides(600, days=16, seed=account, account=account) for account in range(1, 4)]
    liar = rides(100, ratio=3.0, days=4, seed=9, account=9)
    reformed = rides(300, days=12, first_day=4, seed=10, account=9)
    assert answer_after(predictor, merge(*honest, liar, reformed))[1].accounts.excluded == []


def test_a_large_account_counts_for_a_third() -> None:
    weights = AccountWeights()
    for number in range(4_000):
        account = 1 if number % 10 < 8 else 2 if number % 10 == 8 else 3
        weights.add(account, 0.0, now=START + number)
    assert weights.weight(2) == weights.weight(3) == pytest.approx(1.0)
    assert weights.weight(1) == pytest.approx(1 / 8, rel=0.02)


def test_an_account_with_few_outcomes_limits_nobody() -> None:
    weights = AccountWeights()
    for number in range(500):
        weights.add(2 if number in (100, 200) else 1, 0.0, now=START + number)
    assert weights.weight(1) == weights.weight(2) == 1.0


def test_the_number_of_accounts_is_bounded() -> None:
    weights = AccountWeights()
    for account in range(MAX_ACCOUNTS + 200):
        weights.add(account, 0.0, now=START + DAY * account / 1_000)
    assert len(weights.statistics) <= MAX_ACCOUNTS + 16
