"""Unknown query parameters are rejected."""

from __future__ import annotations

import pytest
from litestar.testing import TestClient

from logitrack_service.http.middleware import HTTPS_ONLY
from logitrack_tests.service.conftest import User


@pytest.mark.parametrize(
    ("target", "field", "message"),
    [
        ("/analytics/months?flete=green", "flete", "the nearest one is `fleet`."),
        ("/analytics/busiest-zones?from_mont=2019-01&limit=5", "from_mont", "the nearest one is `from_month`."),
        ("/predict/departures?pickup_zone=1&dropoff_zone=2&arrive_at=2019-07-01", "arrive_at", "`arrive_by`."),
        ("/models?nonsense=1", "nonsense", "the operation has none."),
        ("/health/live?nonsense=1", "nonsense", "the operation has none."),
        ("/analytics/months?q=1", "q", "the operation has `borough`, `fleet`, `format`"),
        ("/me?" + "x" * 10_000, "x" * 100, "the operation has none."),
    ],
)
def test_unknown_parameter_is_rejected_with_the_nearest_name(
    client: TestClient, user: User, target: str, field: str, message: str
):
    response = client.get(target, headers=user.headers)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]


def test_body_operations_have_no_query_parameters(client: TestClient, user: User):
    trip = {"pickup_zone": 161, "dropoff_zone": 132}
    assert client.post("/predict?level=0.5", json=trip, headers=user.headers).status_code == 422
    assert client.post("/predict", json=trip, headers=user.headers).status_code == 200


def test_many_unknown_parameters_are_reported_up_to_a_limit(client: TestClient, user: User):
    query = "&".join(f"p{number}=1" for number in range(1_000))
    response = client.get(f"/models?{query}", headers=user.headers)
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 20


def test_authentication_comes_first(client: TestClient):
    assert client.get("/models?nonsense=1").status_code == 401


def test_pages_accept_any_parameter(client: TestClient):
    assert client.get("/docs?nonsense=1").status_code == 200


def test_https_is_required_of_subdomains_too():
    assert HTTPS_ONLY == (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
