"""Pictures for the Dagster UI, as Markdown with the image inside it: one look for all of them."""

from __future__ import annotations

import base64
import io

import matplotlib

matplotlib.use("Agg")  # no screen; must come before pyplot

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#1f6f8b", "#d1603d", "#9aa0a6"


def as_markdown(figure: Figure, title: str) -> str:
    """The figure as a Markdown image that needs no file."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(as_png(figure)).decode()})"


def as_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def new_axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes, named `x` and `y`."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes
