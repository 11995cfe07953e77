"""HTTP service for predictions and statistics of trip durations."""
