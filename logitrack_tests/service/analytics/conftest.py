"""A warehouse with generated trips for all tests of analytics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from logitrack_tests.service.conftest import ServiceHome
from logitrack_tests.service.warehouse import fill

MONTHS = ["2019-01", "2019-02", "2019-03"]


@pytest.fixture(scope="package", autouse=True)
def trips(service_home: ServiceHome) -> Iterator[None]:
    """Three months of two fleets, 9,000 trips."""
    fill(service_home.engine, MONTHS, trips=1_500, fleets=("yellow", "green"))
    yield
    for table in ("analytics_sample", "trip_months", "rejections"):
        service_home.run(f"truncate warehouse.{table}")
    for table in ("hour", "zone_hour", "pair", "zone", "payment"):
        service_home.run(f"truncate warehouse.trip_stats_{table}")
