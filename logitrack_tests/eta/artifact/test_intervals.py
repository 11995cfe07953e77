"""Intervals: groups of trips, quantiles between stored probabilities, and files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from logitrack_assets.eta.artifact import ArtifactError, Intervals
from logitrack_assets.eta.artifact.intervals import (
    DEFAULT_LEVEL,
    GROUP_SHAPE,
    MAX_LEVEL,
    MIN_LEVEL,
    hour_bands,
    interval_groups,
    length_bands,
)
from logitrack_assets.eta.features import TripBatch

GROUPS = int(np.prod(GROUP_SHAPE))
PROBABILITIES = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


def intervals(rows: int = 2) -> Intervals:
    """Return intervals whose odd groups use the last row; row n holds multiples of n + 1."""
    quantiles = np.array([[-0.4, -0.2, 0.0, 0.3, 0.6]]) * np.arange(1, rows + 1)[:, None]
    return Intervals(PROBABILITIES, (np.arange(GROUPS) % 2) * (rows - 1), quantiles)


def test_levels_and_groups():
    assert (MIN_LEVEL, DEFAULT_LEVEL, MAX_LEVEL) == (0.5, 0.8, 0.99)
    assert GROUP_SHAPE == (2, 2, 2, 9, 8)


def test_hours_fall_into_bands():
    moments = np.datetime64("2019-06-03T00:59:59", "s") + np.arange(24) * np.timedelta64(1, "h")
    expected = [0] * 6 + [1] + [2] * 2 + [3] * 3 + [4] * 3 + [5] * 3 + [6] * 2 + [7] * 2 + [8] * 2
    assert hour_bands(moments).tolist() == expected


def test_lengths_fall_into_bands_whose_lower_bound_is_included():
    bounds = [5.0, 8.0, 11.0, 15.0, 20.0, 28.0, 40.0]
    assert length_bands(np.array(bounds)).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert length_bands(np.array(bounds) - 1e-9).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert length_bands(np.array([0.0, 500.0])).tolist() == [0, 7]


@pytest.mark.parametrize(
    ("zones", "miles", "fleet", "parts"),
    [
        ((161, 236), 3.0, "yellow", (1, 0, 0, 2, 3)),
        ((161, 236), np.nan, "yellow", (0, 0, 0, 2, 3)),
        ((161, 236), 3.0, "green", (1, 1, 0, 2, 3)),
        ((132, 236), 3.0, "green", (1, 1, 1, 2, 3)),
        ((236, 138), np.nan, "yellow", (0, 0, 1, 2, 3)),
        ((1, 236), np.nan, "green", (0, 1, 1, 2, 3)),
    ],
)
def test_group_of_a_trip(zones: tuple[int, int], miles: float, fleet: str, parts: tuple[int, ...]):
    trip = TripBatch.from_columns([zones[0]], [zones[1]], ["2019-06-03T08:30:00"], [miles], fleet)
    assert interval_groups(trip, np.array([12.0])).tolist() == [np.ravel_multi_index(parts, GROUP_SHAPE)]


def test_quantile_of_a_stored_probability_is_the_stored_one():
    found = intervals()
    for probability, first in zip(PROBABILITIES, (-0.4, -0.2, 0.0, 0.3, 0.6), strict=True):
        for near in (probability, probability - 1e-12, probability + 1e-12):
            assert found.log_ratios(np.array([0, 1, 2]), near).tolist() == [first, first * 2, first]


def test_quantile_between_stored_probabilities_is_interpolated():
    assert intervals().log_ratios(np.array([0, 1]), 0.15) == pytest.approx([-1 / 3, -2 / 3])
    assert intervals().log_ratios(np.array([0]), 0.85) == pytest.approx([0.5])
    assert intervals().log_ratios(np.array([0]), 0.1 + 1e-4) == pytest.approx([-0.4 + 0.2 * 1e-4 / 0.15], abs=1e-9)


def test_quantile_beyond_the_stored_probabilities_is_the_outermost():
    assert intervals().log_ratios(np.array([0, 1]), 0.01).tolist() == [-0.4, -0.8]
    assert intervals().log_ratios(np.array([0, 1]), 0.99).tolist() == [0.6, 1.2]


def test_factors_of_a_level_are_those_of_its_tails():
    low, high = intervals().factors(0.8)
    assert low[:2] == pytest.approx(np.exp([-0.4, -0.8]))
    assert high[:2] == pytest.approx(np.exp([0.6, 1.2]))
    assert low.shape == high.shape == (GROUPS,)
    low, high = intervals().factors(0.5)
    assert low[:2] == pytest.approx(np.exp([-0.2, -0.4]))
    assert high[:2] == pytest.approx(np.exp([0.3, 0.6]))


def test_interval_contains_its_prediction_where_both_quantiles_are_on_one_side():
    above = Intervals(PROBABILITIES, np.zeros(GROUPS, dtype=np.int64), np.linspace(0.1, 0.5, 5)[None, :])
    below = Intervals(PROBABILITIES, np.zeros(GROUPS, dtype=np.int64), np.linspace(-0.5, -0.1, 5)[None, :])
    assert (above.factors(0.8)[0] == 1).all()
    assert above.factors(0.8)[1] == pytest.approx(np.exp(0.5))
    assert (below.factors(0.8)[1] == 1).all()
    assert below.factors(0.8)[0] == pytest.approx(np.exp(-0.5))


def test_bounds_are_the_factors_of_each_trips_group():
    trips = TripBatch.from_columns([161, 132], [236, 230], ["2019-06-03T08:30:00", "2019-06-03T23:00:00"])
    minutes = np.array([12.0, 30.0])
    groups = interval_groups(trips, minutes)
    assert sorted(groups % 2) == [0, 1], "the two trips use different rows"
    low, high = intervals().bounds(trips, minutes, 0.8)
    scale = groups % 2 + 1
    assert low == pytest.approx(minutes * np.exp(-0.4 * scale))
    assert high == pytest.approx(minutes * np.exp(0.6 * scale))


def test_file_keeps_six_decimals(tmp_path: Path):
    found = Intervals(PROBABILITIES, np.zeros(GROUPS, dtype=np.int64), np.full((1, 5), 0.12345678))
    found.save(tmp_path / "intervals.json")
    read = Intervals.load(tmp_path / "intervals.json")
    assert read.quantiles.tolist() == [[0.123457] * 5]
    assert read.probabilities.tolist() == PROBABILITIES.tolist()
    assert read.row_of_group.tolist() == [0] * GROUPS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_shape": [2, 2, 2, 9, 9]}, "its groups differ from those of this program"),
        ({"hour_bands": [0]}, "its groups differ from those of this program"),
        ({"length_bands": [0.0]}, "its groups differ from those of this program"),
        ({"quantiles": [0.0] * 5}, "its quantiles do not match its probabilities"),
        ({"quantiles": [[0.0] * 4] * 2}, "its quantiles do not match its probabilities"),
        ({"quantiles": [[0.0] * 5, [0.0] * 4 + [float("nan")]]}, "its quantiles do not match its probabilities"),
        ({"quantiles": [[0.0] * 5, [0.0] * 4 + [float("inf")]]}, "its quantiles do not match its probabilities"),
        ({"row_of_group": [0] * (GROUPS - 1)}, "a group has no quantiles"),
        ({"row_of_group": [0] * (GROUPS - 1) + [-1]}, "a group has no quantiles"),
        ({"row_of_group": [0] * (GROUPS - 1) + [2]}, "a group has no quantiles"),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str):
    file = tmp_path / "intervals.json"
    intervals().save(file)
    Intervals.load(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ArtifactError, match=f"^intervals.json: {message}$"):
        Intervals.load(file)
