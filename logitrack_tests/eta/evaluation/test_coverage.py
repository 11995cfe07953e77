"""Coverage tests: valid intervals pass with a stated error rate, wrong ones fail."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.artifact import GROUP_SHAPE, SliceMetrics, interval_groups
from logitrack_assets.eta.evaluation.coverage import deviating_slices, overall_deviation
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.evaluation.slices import groups_of_slice, slice_metrics
from logitrack_assets.eta.variant import Variant
from logitrack_tests.eta.examples import random_trips

LEVEL, SIMULATIONS = 0.8, 2_000


def simulated_coverage(random: np.random.Generator, true: float, trips: int) -> float:
    """Return the measured coverage of conformal intervals that were calibrated and tested on `trips` trips each."""
    calibrated = random.beta(true * trips, (1 - true) * trips)
    return float(random.binomial(trips, calibrated)) / trips


def refused_share(true: float, trips: int) -> float:
    """Return the share of candidates that the overall test refuses; both variants have the same true coverage."""
    random = np.random.default_rng(1)
    refused = [
        any(overall_deviation(simulated_coverage(random, true, trips), trips, LEVEL, tests=4) for _ in Variant)
        for _ in range(SIMULATIONS)
    ]
    return float(np.mean(refused))


def slice_of(coverage: float, trips: int, value: str = "07 to 09") -> SliceMetrics:
    return SliceMetrics(
        by="hour", value=value, distance_known=False, trips=trips, mae_minutes=3.0, lookup_mae_minutes=4.0,
        coverage=coverage, width_minutes=10.0,
    )  # fmt: skip


@pytest.mark.parametrize("trips", [150, 1_000, 10_000, 30_000])
@pytest.mark.parametrize("true", [0.78, 0.80, 0.82])
def test_sound_candidates_are_refused_in_at_most_two_percent(true, trips):
    """True coverage two points off the level is sound: months differ by as much."""
    assert refused_share(true, trips) <= 0.02


@pytest.mark.parametrize(("true", "trips"), [(0.70, 2_000), (0.74, 10_000), (0.90, 2_000)])
def test_unsound_candidates_are_refused(true, trips):
    """Measured: 99.95%, 99.9% and 98.1% of them; at least 98% must be."""
    assert refused_share(true, trips) >= 0.98


def test_family_of_valid_slices_deviates_in_at_most_one_percent():
    random = np.random.default_rng(2)
    found = 0
    for _ in range(SIMULATIONS):
        slices = [slice_of(simulated_coverage(random, LEVEL, 1_000), 1_000) for _ in range(44)]
        found += bool(deviating_slices(slices, LEVEL))
    assert found / SIMULATIONS <= 0.01


def test_slice_that_deviates_is_found_and_a_small_one_is_not():
    slices = [slice_of(0.80, 20_000), slice_of(0.91, 5_000, "06 to 07"), slice_of(0.99, 900, "22 to 24")]
    assert [part.value for part in deviating_slices(slices, LEVEL)] == ["06 to 07"]


@pytest.mark.parametrize("variant", list(Variant))
def test_groups_of_a_slice_are_those_of_its_trips(variant):
    trips = random_trips(5_000)
    batch = variant.inputs(trips.batch).take(variant.mask(trips.batch))
    minutes = trips.minutes[variant.mask(trips.batch)]
    evaluated = EvaluatedTrips(batch, minutes, minutes, minutes, minutes, minutes)
    groups = interval_groups(batch, minutes)
    parts = slice_metrics(evaluated, variant)
    assert {part.by for part in parts} == {"predicted minutes", "hour", "airport", "fleet"}
    for part in parts:
        marked = groups_of_slice(part)
        assert marked.shape == (np.prod(GROUP_SHAPE),)
        assert marked[groups].sum() == part.trips, part.name
