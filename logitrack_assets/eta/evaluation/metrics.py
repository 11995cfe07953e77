"""Regression metrics, and the evaluated trips that metrics, slices and plots are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import RegressionMetrics
from logitrack_assets.eta.features import TripBatch


def regression_metrics(predicted: NDArray[np.float64], real: NDArray[np.float64]) -> RegressionMetrics:
    """Return MAE and RMSE in minutes, R² and MAPE of predicted against real minutes.

    Raises:
        ValueError: There are no trips.
    """
    if len(real) == 0:
        raise ValueError("metrics need at least one trip")
    error = predicted - real
    variation = float(np.sum((real - real.mean()) ** 2))
    return RegressionMetrics(
        trips=len(real),
        mae_minutes=float(np.mean(np.abs(error))),
        rmse_minutes=float(np.sqrt(np.mean(error**2))),
        r2=1 - float(np.sum(error**2)) / variation if variation > 0 else 0.0,
        mape=float(np.mean(np.abs(error) / real)),
    )


@dataclass(frozen=True)
class EvaluatedTrips:
    """Trips of the newest month with predictions of a model that was not trained on them.

    Attributes:
        trips: The trips as the model received them.
        real: float64, real minutes.
        predicted: float64, predicted minutes.
        lookup: float64, minutes of the baseline.
        low: float64, lower end of the interval in minutes.
        high: float64, upper end of the interval in minutes.
    """

    trips: TripBatch
    real: NDArray[np.float64]
    predicted: NDArray[np.float64]
    lookup: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Whether each real duration lies inside the interval."""
        return (self.low <= self.real) & (self.real <= self.high)

    @property
    def mean_width_minutes(self) -> float:
        """Mean width of the intervals."""
        return float((self.high - self.low).mean())
