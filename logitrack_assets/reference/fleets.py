"""The fleets whose trip files are supported. Imports light: no dependency."""

FLEETS = ("yellow", "green")
"""Fleet names as the TLC's file names carry them; the order is the numbering of fleets in the model's arrays."""
