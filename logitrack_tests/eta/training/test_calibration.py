"""Intervals hold as many trips as they say, in the groups that are known when one asks."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.artifact.predictor import Intervals
from logitrack_assets.eta.evaluation.metrics import compare, errors, interval_bounds
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.training.calibration import Residuals, calibrate


def rides(count: int, seed: int):
    """Rides whose doubt depends on the hour, and is skewed as real delays are."""
    random = np.random.default_rng(seed)
    moments = np.datetime64("2019-06-03", "s") + random.integers(0, 86400, count).astype("timedelta64[s]")
    trips = TripBatch.from_columns(random.integers(1, 264, count), random.integers(1, 264, count), moments)
    predicted = np.exp(random.normal(2.5, 0.6, count)).clip(2, 90)
    night = moments.astype(np.int64) % 86400 < 6 * 3600
    noise = (random.gamma(4, 0.05, count) - 0.1836) * np.where(night, 0.4, 1.0)  # 0.1836 is the median
    return trips, predicted, predicted * np.exp(noise)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_coverage_on_new_rides_is_the_level_overall_and_by_hour(level):
    trips, predicted, real = rides(30_000, seed=1)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    trips, predicted, real = rides(30_000, seed=2)
    low, high = interval_bounds(trips, predicted, intervals, level)
    covered = (low <= real) & (real <= high)
    assert covered.mean() == pytest.approx(level, abs=0.02)
    night = trips.pickup_at.astype(np.int64) % 86400 < 6 * 3600
    assert covered[night].mean() == pytest.approx(level, abs=0.04)
    assert covered[~night].mean() == pytest.approx(level, abs=0.04)
    assert (high - low)[night].mean() < 0.6 * (high - low)[~night].mean()


def test_few_rides_share_the_quantiles_of_a_wider_group():
    trips, predicted, real = rides(250, seed=3)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    assert len(intervals.quantiles) == 1
    assert (intervals.row_of_group == 0).all()


def test_no_rides_is_an_error():
    with pytest.raises(ValueError, match="need trips of months after"):
        calibrate(Residuals(np.array([]), np.array([], dtype=np.int64)))


def test_intervals_survive_the_disk(tmp_path):
    trips, predicted, real = rides(5_000, seed=4)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    intervals.save(tmp_path / "intervals.json")
    read = Intervals.load(tmp_path / "intervals.json")
    groups = np.arange(len(read.row_of_group))
    for probability in (0.1, 0.33, 0.9):
        assert read.at(groups, probability) == pytest.approx(intervals.at(groups, probability), abs=1e-6)


def test_errors_are_those_of_the_definition():
    found = errors(np.array([10.0, 20.0]), np.array([12.0, 16.0]))
    assert (found.mae_minutes, found.rmse_minutes) == (3.0, pytest.approx(np.sqrt(10)))
    assert found.r2 == pytest.approx(1 - 20 / 8)
    assert found.mape == pytest.approx((2 / 12 + 4 / 16) / 2)


def test_a_paired_comparison_sees_what_is_within_noise():
    random = np.random.default_rng(5)
    real = random.gamma(4, 4, 5_000)
    one, other = real + random.normal(0, 3, 5_000), real + random.normal(0, 3, 5_000)
    same = compare(one, other, real, seed=1)
    assert same.low < 0 < same.high
    assert compare(one, real + random.normal(0, 4, 5_000), real, seed=1).high < 0
    assert compare(one, other, real, seed=1) == same
