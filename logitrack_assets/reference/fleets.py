"""The supported fleets.

Imports light: the standard library only.
"""

from __future__ import annotations

from typing import Literal, get_args

Fleet = Literal["yellow", "green"]
"""A fleet's name as the TLC's file names carry it."""

FLEETS: tuple[Fleet, ...] = get_args(Fleet)
"""All fleets; their order numbers them in the model's arrays and must not change."""
