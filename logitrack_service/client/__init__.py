"""Typed client of the HTTP service, synchronous and asynchronous: `pip install 'logitrack[client]'`.

    from logitrack_service.client import LogitrackClient

    with LogitrackClient("http://127.0.0.1:8000", "dispatcher-1", "seven yellow cabs in the rain") as client:
        client.register(exist_ok=True)
        print(client.predict(161, 132).estimated_duration_minutes)

It imports neither the service nor the model: only httpx2 and msgspec.
"""

from logitrack_service.client.asynchronous import AsyncLogitrackClient
from logitrack_service.client.errors import ApiConnectionError, ApiError, InvalidField
from logitrack_service.client.models import (
    AccountInfo,
    BatchResult,
    BatchRow,
    DepartureOption,
    DeparturePlan,
    MatrixResult,
    OutcomeSummary,
    QueryResult,
    Ride,
    RideInterval,
    RidePrediction,
    ZoneInfo,
)
from logitrack_service.client.synchronous import LogitrackClient

__all__ = [
    "AccountInfo",
    "ApiConnectionError",
    "ApiError",
    "AsyncLogitrackClient",
    "BatchResult",
    "BatchRow",
    "DepartureOption",
    "DeparturePlan",
    "InvalidField",
    "LogitrackClient",
    "MatrixResult",
    "OutcomeSummary",
    "QueryResult",
    "Ride",
    "RideInterval",
    "RidePrediction",
    "ZoneInfo",
]
