"""Requests that the tests of the prediction API share."""

from __future__ import annotations

TRIP = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:30:00"}  # Midtown to JFK
