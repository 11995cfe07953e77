"""Evaluate candidates: metrics, baseline, holdout and the gates of a promotion."""
