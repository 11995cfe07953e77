"""The paired bootstrap separates real differences from noise."""

from __future__ import annotations

import numpy as np

from logitrack_assets.eta.evaluation.comparison import paired_bootstrap


def test_paired_bootstrap_separates_differences_from_noise():
    random = np.random.default_rng(5)
    real = random.gamma(4, 4, 5_000)
    one, other = real + random.normal(0, 3, 5_000), real + random.normal(0, 3, 5_000)
    same = paired_bootstrap(one, other, real, seed=1)
    assert same.low < 0 < same.high
    assert paired_bootstrap(one, real + random.normal(0, 4, 5_000), real, seed=1).high < 0
    assert paired_bootstrap(one, other, real, seed=1) == same
