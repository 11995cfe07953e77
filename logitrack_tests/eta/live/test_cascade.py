"""The cascade of decayed means: shrinkage, decay from the end of the ride, clocks that jump."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logitrack_assets.eta.live.cascade import Cascade
from logitrack_assets.eta.live.cells import CELLS, DAY_SECONDS, STAGES, cells_of_trips
from logitrack_tests.eta.live.rides import START, trips_at

CITY, PAIR, LAST_HOURS = 0, 5, 6


def cells_of_one(seed: int = 0) -> list[int]:
    cells: list[int] = cells_of_trips(trips_at(START, seed=seed), np.array([12.0]))[0].tolist()
    return cells


def estimates(cascade: Cascade, cells: list[int], at: float) -> np.ndarray:
    return cascade.estimates(np.array([cells]), np.array([at]))[0]


def test_every_trip_has_its_own_cell_in_each_stage() -> None:
    cells = cells_of_trips(trips_at(START + np.arange(500) * 997.0), np.full(500, 30.0))
    assert cells.shape == (500, len(STAGES))
    assert cells.min() >= 0
    assert cells.max() < CELLS
    assert (np.diff(cells[:, :6], axis=1) > 0).all(), "the tables of the stages do not overlap"


def test_an_empty_cascade_says_nothing() -> None:
    assert estimates(Cascade.empty(), cells_of_one(), START).tolist() == [0.0] * len(STAGES)


def test_a_cell_counts_half_at_its_prior_and_later_stages_get_what_is_left() -> None:
    cascade, cells = Cascade.empty(), cells_of_one()
    for _ in range(30):
        cascade.add(cells, 0.5, weight=1.0, ended_at=START, now=START)
    found = estimates(cascade, cells, START)
    assert found[CITY] == pytest.approx(0.25)
    assert 0 < found[PAIR] < found[CITY], "the city has explained most of it already"


def test_the_weight_halves_with_the_half_life() -> None:
    cascade, cells = Cascade.empty(), cells_of_one()
    for _ in range(30):
        cascade.add(cells, 0.5, weight=1.0, ended_at=START, now=START)
    later = estimates(cascade, cells, START + 2 * DAY_SECONDS)
    assert later[CITY] == pytest.approx(0.5 * 15 / (15 + 30))
    assert later[LAST_HOURS] < 1e-3


def test_a_late_report_counts_as_much_as_one_in_time() -> None:
    """Decay runs from the end of the ride, not from the arrival of the report."""
    cells, end, now = cells_of_one(), START, START + 3 * DAY_SECONDS
    in_time, late = Cascade.empty(), Cascade.empty()
    in_time.add(cells, 0.5, weight=1.0, ended_at=end, now=end)
    late.add(cells, 0.5, weight=1.0, ended_at=end, now=now)
    np.testing.assert_allclose(estimates(in_time, cells, now)[:1], estimates(late, cells, now)[:1], rtol=1e-12)


def test_moving_a_landmark_is_exact() -> None:
    """The landmark of the fastest stage moves every five days; the estimates stay the same numbers."""
    cascade, cells = Cascade.empty(), cells_of_one()
    cascade.add(cells, 0.5, weight=1.0, ended_at=START, now=START)
    at = START + 70 * 2 * 3600.0
    before = estimates(cascade, cells, at)[LAST_HOURS]
    cascade.add(cells, 0.0, weight=0.0, ended_at=at, now=at)
    assert estimates(cascade, cells, at)[LAST_HOURS] == pytest.approx(before, rel=1e-12)
    assert cascade.landmarks[LAST_HOURS] > START


@given(
    st.lists(
        st.tuples(
            st.floats(-1, 1),
            st.floats(0, 1),
            st.floats(-3e9, 6e9),
            st.floats(0, 1e8),
            st.floats(-1e10, 1e10),
        ),
        max_size=30,
    )
)
def test_no_clock_makes_an_estimate_that_is_not_finite(steps: list[tuple[float, float, float, float, float]]) -> None:
    """Any order of times, years apart: every estimate is finite and within what was reported."""
    cascade, cells = Cascade.empty(), cells_of_one()
    for residual, weight, now, age, asked_at in steps:
        before = cascade.add(cells, residual, weight=weight, ended_at=now - age, now=now)
        assert all(math.isfinite(value) for value in before)
        assert np.isfinite(estimates(cascade, cells, asked_at)).all()
    assert np.isfinite(cascade.sums).all()
    assert np.isfinite(cascade.counts).all()


def test_a_clock_that_was_ahead_for_years_does_not_stop_learning() -> None:
    cascade, cells = Cascade.empty(), cells_of_one()
    years = START + 20 * 365 * DAY_SECONDS
    cascade.add(cells, 1.0, weight=1.0, ended_at=years, now=years)
    for _ in range(30):
        cascade.add(cells, -0.5, weight=1.0, ended_at=START, now=START)
    assert estimates(cascade, cells, START)[CITY] == pytest.approx(-0.25)
