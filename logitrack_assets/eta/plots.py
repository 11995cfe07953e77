"""Plots of a candidate's evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.training.backtest import Backtest
from logitrack_assets.eta.variant import Variant
from logitrack_assets.nyc_calendar import hour_of_day
from logitrack_assets.plotting import BLUE, GREY, ORANGE, label_hours, new_axes


def evaluation_plots(
    evaluated: Mapping[Variant, EvaluatedTrips], level: float, backtest: Backtest
) -> dict[str, Figure]:
    """Return all plots of a candidate by name."""
    return {
        "error_by_hour": plot_error_by_hour(evaluated),
        "predicted_against_real": plot_predicted_against_real(evaluated[Variant.ZONES]),
        "coverage_by_hour": plot_coverage_by_hour(evaluated[Variant.ZONES], level),
        "backtest": plot_backtest(backtest),
    }


def plot_error_by_hour(evaluated: Mapping[Variant, EvaluatedTrips]) -> Figure:
    """Return the mean absolute error by pickup hour of both variants and the baseline."""
    figure, axes = new_axes("Error by pickup hour", "hour", "mean absolute error, minutes")
    zones, distance = evaluated[Variant.ZONES], evaluated[Variant.DISTANCE]
    for name, trips, predicted, colour in (
        ("baseline", zones, zones.lookup, GREY),
        (Variant.ZONES.label, zones, zones.predicted, BLUE),
        (Variant.DISTANCE.label, distance, distance.predicted, ORANGE),
    ):
        hours, error = _mean_by_hour(trips, np.abs(predicted - trips.real))
        axes.plot(hours, error, marker="o", markersize=3, label=name, color=colour)
    axes.set_ylim(bottom=0)
    label_hours(axes)
    axes.legend(frameon=False)
    return figure


def plot_predicted_against_real(zones: EvaluatedTrips) -> Figure:
    """Return the number of trips by predicted and real minutes."""
    figure, axes = new_axes("Predicted against real, zones only", "predicted, minutes", "real, minutes")
    top = max(float(np.quantile(zones.real, 0.99)), 2.0)
    image = axes.hexbin(zones.predicted, zones.real, gridsize=45, bins="log", cmap="Blues", extent=(0, top, 0, top))
    axes.plot([0, top], [0, top], color=ORANGE, linewidth=1)
    figure.colorbar(image, label="trips")
    return figure


def plot_coverage_by_hour(zones: EvaluatedTrips, level: float) -> Figure:
    """Return the share of real durations inside the interval by pickup hour."""
    figure, axes = new_axes(f"Coverage of the {level:.0%} interval", "hour", "share of trips inside")
    hours, coverage = _mean_by_hour(zones, zones.covered.astype(np.float64))
    axes.bar(hours, coverage, color=BLUE)
    axes.axhline(level, color=ORANGE)
    axes.set_ylim(0, 1)
    label_hours(axes)
    return figure


def plot_backtest(backtest: Backtest) -> Figure:
    """Return the zones-only error of each strategy by month, with the selected one in bold."""
    figure, axes = new_axes("Rolling backtest, zones only", "predicted month", "mean absolute error, minutes")
    labels = [str(month) for month in backtest.months]
    folds = [fold for fold in backtest.folds if fold.variant is Variant.ZONES]
    for strategy in dict.fromkeys(fold.strategy for fold in folds):
        errors = {fold.month: fold.errors.mae_minutes for fold in folds if fold.strategy == strategy}
        chosen = strategy == backtest.chosen
        axes.plot(
            labels,
            [errors[month] for month in backtest.months],
            marker="o",
            linewidth=2.5 if chosen else 1,
            label=f"{strategy.name}{' (chosen)' if chosen else ''}",
        )
    axes.legend(frameon=False, fontsize=8)
    return figure


def _mean_by_hour(
    evaluated: EvaluatedTrips, values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pickup hours that have trips, and the mean value of each."""
    hour = hour_of_day(evaluated.trips.pickup_at)
    trips = np.bincount(hour, minlength=24)
    hours = np.flatnonzero(trips)
    return hours, np.bincount(hour, weights=values, minlength=24)[hours] / trips[hours]
