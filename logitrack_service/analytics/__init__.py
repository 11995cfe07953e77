"""How long rides took: reports over the rollups, and analysts' own questions in SQL."""
