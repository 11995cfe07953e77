"""Rides for tests of the live correction: a model that always says 12 minutes, and traffic of any speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live import LiveOutcomes

START = float(np.datetime64("2020-03-02T00:00:00", "s").astype(np.int64))
MODEL_MINUTES = 12.0
DAY = 86_400.0


def trips_at(seconds: Any, *, seed: int = 0, miles: float = float("nan")) -> TripBatch:
    """Return trips between random zones with pickups at Unix seconds."""
    random, moments = np.random.default_rng(seed), np.atleast_1d(np.asarray(seconds, dtype=np.float64))
    size = len(moments)
    return TripBatch(
        random.integers(1, 264, size).astype(np.int16),
        random.integers(1, 264, size).astype(np.int16),
        moments.astype(np.int64).astype("datetime64[s]"),
        np.full(size, miles, dtype=np.float32),
        np.zeros(size, dtype=np.int8),
    )


def rides(
    count: int,
    *,
    ratio: float = 1.0,
    noise: float = 0.2,
    days: float = 4.0,
    first_day: float = 0.0,
    seed: int = 0,
    account: int = 1,
    miles: float = float("nan"),
) -> LiveOutcomes:
    """Return rides in the order of their ends that take `ratio` times what the model says, with log-normal noise."""
    random = np.random.default_rng(seed)
    minutes = np.clip(MODEL_MINUTES * ratio * np.exp(random.normal(0, noise, count)), 1, 180)
    ended = START + first_day * DAY + np.sort(random.random(count)) * days * DAY
    batch = trips_at(ended - minutes * 60, seed=seed, miles=miles)
    return LiveOutcomes(batch, minutes, ended, ended + 60.0, np.full(count, account, dtype=np.int64))


def merge(*parts: LiveOutcomes) -> LiveOutcomes:
    """Return several sets of rides as one, in the order of their arrival."""
    order = np.argsort(np.concatenate([part.arrived_at for part in parts]), kind="stable").astype(np.int64)
    batch = TripBatch(
        *(
            np.concatenate([getattr(part.trips, name) for part in parts])
            for name in ("pickup_zone", "dropoff_zone", "pickup_at", "distance_miles", "fleet")
        )
    )
    columns = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("minutes", "ended_at", "arrived_at", "account")
    )
    return LiveOutcomes(batch, *columns).take(order)
