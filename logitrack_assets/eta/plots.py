"""Pictures of how a candidate was judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.traffic import month_name
from logitrack_assets.eta.training.backtest import Backtest
from logitrack_assets.plotting import BLUE, GREY, ORANGE, new_axes


def error_by_hour(zones: EvaluatedTrips, distance: EvaluatedTrips) -> Figure:
    """Mean absolute error by pickup hour: model with and without distance, and the lookup."""
    figure, axes = new_axes("Error by pickup hour", "hour", "mean absolute error, minutes")
    for name, judged, predicted, colour in (
        ("lookup", zones, zones.lookup, GREY),
        ("zones alone", zones, zones.predicted, BLUE),
        ("with distance", distance, distance.predicted, ORANGE),
    ):
        hour = judged.trips.pickup_at.astype(np.int64) % 86400 // 3600
        trips = np.bincount(hour, minlength=24)
        error = np.bincount(hour, weights=np.abs(predicted - judged.real), minlength=24) / np.maximum(trips, 1)
        axes.plot(np.arange(24)[trips > 0], error[trips > 0], marker="o", markersize=3, label=name, color=colour)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def predicted_against_real(zones: EvaluatedTrips) -> Figure:
    """Real minutes against predicted minutes, as counts of trips."""
    figure, axes = new_axes("Predicted against real, zones alone", "predicted, minutes", "real, minutes")
    top = max(float(np.quantile(zones.real, 0.99)), 2.0)
    image = axes.hexbin(zones.predicted, zones.real, gridsize=45, bins="log", cmap="Blues", extent=(0, top, 0, top))
    axes.plot([0, top], [0, top], color=ORANGE, linewidth=1)
    figure.colorbar(image, label="trips")
    return figure


def coverage_by_hour(zones: EvaluatedTrips, level: float) -> Figure:
    """Share of real durations inside the interval, by pickup hour."""
    figure, axes = new_axes(f"Coverage of the {level:.0%} interval", "hour", "share of trips inside")
    hour = zones.trips.pickup_at.astype(np.int64) % 86400 // 3600
    trips = np.bincount(hour, minlength=24)
    covered = np.bincount(hour, weights=zones.covered, minlength=24) / np.maximum(trips, 1)
    axes.bar(np.arange(24)[trips > 0], covered[trips > 0], color=BLUE)
    axes.axhline(level, color=ORANGE)
    axes.set_ylim(0.5, 1)
    return figure


def backtest(found: Backtest) -> Figure:
    """Error of each recipe month by month; the chosen one drawn thick."""
    figure, axes = new_axes("Rolling backtest, zones alone", "month answered", "mean absolute error, minutes")
    labels: Sequence[str] = [month_name(month) for month in found.months]
    for recipe in dict.fromkeys(fold.recipe for fold in found.folds):
        errors = {
            fold.month: fold.errors.mae_minutes
            for fold in found.folds
            if fold.recipe == recipe and not fold.with_distance
        }
        chosen = recipe == found.chosen
        axes.plot(
            labels,
            [errors[month] for month in found.months],
            marker="o",
            linewidth=2.5 if chosen else 1,
            label=f"{recipe.name}{' (chosen)' if chosen else ''}",
        )
    axes.legend(frameon=False, fontsize=8)
    return figure
