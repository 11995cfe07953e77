"""Facts that do not change from month to month."""
