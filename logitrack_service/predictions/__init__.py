"""Trip-duration predictions: single, batch, matrix and departure times."""
