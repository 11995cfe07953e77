"""Conformal calibration: coverage on new trips, pooling of small groups, and the intervals' file."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.artifact import Intervals
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.training.calibration import Residuals, calibrate
from logitrack_assets.nyc_calendar import hour_of_day


def random_rides(count: int, seed: int):
    """Return trips, predicted and real minutes; the residual's spread depends on the hour and is skewed."""
    random = np.random.default_rng(seed)
    moments = np.datetime64("2019-06-03", "s") + random.integers(0, 86400, count).astype("timedelta64[s]")
    trips = TripBatch.from_columns(random.integers(1, 264, count), random.integers(1, 264, count), moments)
    predicted = np.exp(random.normal(2.5, 0.6, count)).clip(2, 90)
    night = hour_of_day(moments) < 6
    noise = (random.gamma(4, 0.05, count) - 0.1836) * np.where(night, 0.4, 1.0)  # 0.1836 is the median
    return trips, predicted, predicted * np.exp(noise)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_coverage_on_new_trips_equals_the_level_overall_and_by_hour(level):
    trips, predicted, real = random_rides(30_000, seed=1)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    trips, predicted, real = random_rides(30_000, seed=2)
    low, high = intervals.bounds(trips, predicted, level)
    covered = (low <= real) & (real <= high)
    assert covered.mean() == pytest.approx(level, abs=0.02)
    night = hour_of_day(trips.pickup_at) < 6
    assert covered[night].mean() == pytest.approx(level, abs=0.04)
    assert covered[~night].mean() == pytest.approx(level, abs=0.04)
    assert (high - low)[night].mean() < 0.6 * (high - low)[~night].mean()


def test_small_groups_share_the_quantiles_of_a_wider_group():
    trips, predicted, real = random_rides(250, seed=3)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    assert len(intervals.quantiles) == 1
    assert (intervals.row_of_group == 0).all()


def test_calibration_without_residuals_raises():
    with pytest.raises(ValueError, match="need trips of months after"):
        calibrate(Residuals(np.array([]), np.array([], dtype=np.int64)))


def test_intervals_round_trip_through_their_file(tmp_path):
    trips, predicted, real = random_rides(5_000, seed=4)
    intervals = calibrate(Residuals.from_predictions(trips, predicted, real))
    intervals.save(tmp_path / "intervals.json")
    read = Intervals.load(tmp_path / "intervals.json")
    groups = np.arange(len(read.row_of_group))
    for probability in (0.1, 0.33, 0.9):
        assert read.log_ratios(groups, probability) == pytest.approx(
            intervals.log_ratios(groups, probability), abs=1e-6
        )
