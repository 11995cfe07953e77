"""The holdout's file."""

from __future__ import annotations

import numpy as np

from logitrack_assets.eta.evaluation.holdout import Holdout
from logitrack_assets.eta.variant import Variant
from logitrack_tests.eta.examples import constant_holdout, random_trips


def test_holdout_round_trips_with_the_array_names_of_the_format(tmp_path):
    holdout = constant_holdout(random_trips(50), evaluated=12.0, published=13.0)
    holdout.save(tmp_path / "held_out.npz")
    with np.load(tmp_path / "held_out.npz") as arrays:
        assert set(arrays.files) == {
            "row", "real", "pickup_zone", "dropoff_zone", "pickup_at", "distance_miles", "fleet",
            "judged_zones", "judged_distance", "lookup", "trained_zones", "trained_distance",
        }  # fmt: skip
    read = Holdout.load(tmp_path / "held_out.npz")
    assert (read.trips.row == holdout.trips.row).all()
    assert (read.trips.batch.pickup_at == holdout.trips.batch.pickup_at).all()
    for variant in Variant:
        assert (read.evaluated[variant] == 12.0).all()
        assert (read.published[variant] == 13.0).all()
