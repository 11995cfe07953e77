"""The yardstick: any recipe for an ETA, scored on the same later months."""
