"""Dynamic batching of concurrent requests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.polling import eventually


def test_concurrent_requests_get_their_own_responses(service_home: ServiceHome, client: TestClient, user: User):
    asked = [
        {"pickup_zone": 1 + number, "dropoff_zone": 132, "fleet": ("yellow", "green")[number % 2],
         "pickup_at": f"2019-07-01T{number % 24:02}:30:00", "level": (0.8, 0.9, 0.5)[number % 3]}
        for number in range(60)
    ]  # fmt: skip
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda body: client.post("/predict", json=body, headers=user.headers).json(), asked))
    for body, answer in zip(asked, together, strict=True):
        assert answer["fleet"] == body["fleet"]
        assert answer["interval"]["level"] == body["level"]
        assert answer["pickup_at"].startswith(body["pickup_at"])
        alone = client.post("/predict", json=body, headers=user.headers).json()
        for name in ("estimated_duration_minutes", "interval", "arrival_at", "support"):
            assert answer[name] == alone[name]
    ids = [answer["prediction_id"] for answer in together]
    assert len(set(ids)) == 60
    logged = "select prediction_id, pickup_zone from service.predictions where prediction_id = any(:ids)"
    rows = eventually(lambda: found if len(found := service_home.run(logged, ids=ids)) == 60 else None)
    assert {str(row.prediction_id): row.pickup_zone for row in rows} == {
        answer["prediction_id"]: body["pickup_zone"] for body, answer in zip(asked, together, strict=True)
    }
