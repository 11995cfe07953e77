"""Plots of a candidate: one palette, bars from zero, hours of the day labelled every three."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.plots import plot_coverage_by_hour, plot_error_by_hour
from logitrack_assets.eta.variant import Variant
from logitrack_assets.plotting import PALETTE
from logitrack_tests.eta.examples import random_trips


@pytest.fixture(scope="module")
def evaluated() -> EvaluatedTrips:
    trips = random_trips()
    real = trips.minutes.astype(np.float64)
    return EvaluatedTrips(trips.batch, real, real + 1, real + 2, real - 5, real + 5)


def test_error_is_plotted_by_hour_from_zero(evaluated: EvaluatedTrips) -> None:
    (axes,) = plot_error_by_hour({Variant.ZONES: evaluated, Variant.DISTANCE: evaluated}).axes
    assert list(axes.get_xticks()) == list(range(0, 24, 3))
    assert axes.get_ylim()[0] == 0
    baseline, zones, distance = axes.get_lines()
    assert {line.get_color() for line in (baseline, zones, distance)} == set(PALETTE[:3])
    assert np.allclose(baseline.get_ydata(), 2)
    assert np.allclose(zones.get_ydata(), 1)


def test_coverage_is_bars_from_zero_to_one(evaluated: EvaluatedTrips) -> None:
    (axes,) = plot_coverage_by_hour(evaluated, 0.8).axes
    assert list(axes.get_xticks()) == list(range(0, 24, 3))
    assert axes.get_ylim() == (0, 1)
    assert {bar.get_height() for bar in axes.patches} == {1.0}
