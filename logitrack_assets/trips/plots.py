"""Figures of the lake over its months."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from logitrack_assets.plotting import new_axes
from logitrack_assets.trips.manifest import MonthManifest
from logitrack_assets.trips.rules import REASONS

MAX_LABELLED_MONTHS = 12


def rejections_by_rule(months: Sequence[MonthManifest]) -> Figure:
    """Return stacked bars: the share of each month's rows that each rule rejects, all fleets together."""
    figure, axes = new_axes("Rejected rows by rule", "month", "share of the month's rows, %")
    names = [manifest.month for manifest in months]
    bottom = [0.0] * len(months)
    for rule in REASONS:
        shares = [
            100 * manifest.rejected_by(rule) / max(manifest.silver_rows + manifest.rejected_rows, 1)
            for manifest in months
        ]
        if any(shares):
            axes.bar(names, shares, bottom=bottom, label=rule)
            bottom = [lower + share for lower, share in zip(bottom, shares, strict=True)]
    step = -(-len(names) // MAX_LABELLED_MONTHS) or 1
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=45, ha="right", fontsize=8)
    axes.set_ylim(bottom=0)
    if any(bottom):
        axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure
