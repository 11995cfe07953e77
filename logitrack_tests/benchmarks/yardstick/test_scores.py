"""The yardstick finds what is better, and what it should not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake
from logitrack_tests.benchmarks.yardstick.recipes import Answer, Forecast, Past, linear_regression, pair_hour_median
from logitrack_tests.benchmarks.yardstick.scores import difference, score
from logitrack_tests.eta.examples import random_trips

LATER = random_trips(2_000, seed=5, month="2019-06")


def past(months: tuple[str, ...] = ("2019-04", "2019-05"), variant: Variant = Variant.ZONES) -> Past:
    trips = [random_trips(2_000, seed=number, month=month) for number, month in enumerate(months)]
    batch = TripBatch(
        *(np.concatenate([getattr(part.batch, name) for part in trips]) for name in TripBatch.__dataclass_fields__)
    )
    both = type(trips[0])(
        np.arange(len(batch)), variant.inputs(batch), np.concatenate([part.minutes for part in trips])
    )
    return Past(both, Lake(Path("unused")), variant)


def answering(minutes: Callable[[TripBatch], NDArray[np.float64]]) -> Callable[[Past], Answer]:
    def recipe(_: Past) -> Answer:
        def answer(asked: TripBatch) -> Forecast:
            predicted = minutes(asked)
            return Forecast(predicted, predicted - 2, predicted + 2)

        return answer

    return recipe


def test_scores_are_those_of_the_definitions():
    result = score(answering(lambda asked: np.full(len(asked), 10.0)), past(), LATER)
    error = np.abs(LATER.minutes - 10)
    assert result.mae_minutes == pytest.approx(error.mean())
    assert result.coverage == pytest.approx((error <= 2).mean())
    assert result.interval_score == pytest.approx(np.mean(4 + 10 * np.maximum(error - 2, 0)))
    assert result.leak is None


def test_recipe_that_looks_at_the_other_questions_is_named():
    result = score(answering(lambda asked: np.full(len(asked), float(len(asked)))), past(), LATER)
    assert result.leak == "the other questions"


def test_learning_from_tested_months_raises():
    with pytest.raises(ValueError, match="past only"):
        score(pair_hour_median, past(("2019-05", "2019-06")), LATER)


def test_answers_that_are_no_minutes_raise():
    with pytest.raises(ValueError, match="finite minutes"):
        score(answering(lambda asked: np.full(len(asked), np.nan)), past(), LATER)


@pytest.mark.parametrize("variant", Variant)
def test_public_recipes_are_sound(variant):
    constant = score(answering(lambda asked: np.full(len(asked), float(np.median(LATER.minutes)))), past(), LATER)
    for recipe in (pair_hour_median, linear_regression):
        result = score(recipe, past(variant=variant), LATER)
        assert result.leak is None
        assert 0.7 < result.coverage < 0.9
        mean, low, high = difference(result, constant)
        assert low <= mean <= high
    if variant is Variant.DISTANCE:  # distances make the durations of random trips
        assert high < 0
