"""Pictures of the lake over its months."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from logitrack_assets.plotting import new_axes
from logitrack_assets.trips.month import MonthManifest
from logitrack_assets.trips.rules import REASONS


def rejections_by_rule(months: Sequence[MonthManifest]) -> Figure:
    """Share of the rows of each month that broke each rule, all fleets together, stacked."""
    figure, axes = new_axes("Rejected rows by rule", "month", "% of the month's rows")
    names = [known.month for known in months]
    below = [0.0] * len(months)
    for rule in REASONS:
        shares = [100 * rows_of(known, rule) / max(known.silver_rows + known.rejected_rows, 1) for known in months]
        if any(shares):
            axes.bar(names, shares, bottom=below, label=rule)
            below = [lower + share for lower, share in zip(below, shares, strict=True)]
    every = max(1, len(names) // 12)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=45, ha="right", fontsize=8)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure


def rows_of(known: MonthManifest, rule: str) -> int:
    """Rows of all fleets of a month that broke a rule first."""
    return sum(count.rejected.get(rule, 0) for count in known.counts.values())
