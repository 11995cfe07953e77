"""Figures for Dagster's UI: one style and palette, embedded in Markdown."""

from __future__ import annotations

import base64
import io

import matplotlib

matplotlib.use("Agg")  # renders without a display; must precede pyplot

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#1f6f8b", "#d1603d", "#9aa0a6"
PALETTE = (BLUE, ORANGE, GREY, "#5b8c5a", "#8a5a83", "#c9a227", "#4f6d7a", "#b56576", "#6d597a", "#355070")
"""Colours of series in the order in which they are drawn; the first three have names."""


def as_markdown(figure: Figure, title: str) -> str:
    """Return the figure as a Markdown image with embedded PNG data."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(as_png(figure)).decode()})"


def as_png(figure: Figure) -> bytes:
    """Return the figure as PNG file content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def new_axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, labelled `x` and `y`, that draws series in `PALETTE`'s colours."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.set_prop_cycle(color=PALETTE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)  # behind bars
    return figure, axes


def label_hours(axes: Axes) -> None:
    """Label an x axis of hours of the day every three hours, from 0 to 21."""
    axes.set_xlim(-0.5, 23.5)
    axes.set_xticks(range(0, 24, 3))
