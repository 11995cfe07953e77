"""Regression metrics against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from logitrack_assets.eta.evaluation.metrics import regression_metrics


def test_regression_metrics_follow_their_definition():
    found = regression_metrics(np.array([10.0, 20.0]), np.array([12.0, 16.0]))
    assert (found.mae_minutes, found.rmse_minutes) == (3.0, pytest.approx(np.sqrt(10)))
    assert found.r2 == pytest.approx(1 - 20 / 8)
    assert found.mape == pytest.approx((2 / 12 + 4 / 16) / 2)


def test_regression_metrics_without_trips_raise():
    with pytest.raises(ValueError, match="at least one trip"):
        regression_metrics(np.array([]), np.array([]))
