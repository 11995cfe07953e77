"""Prometheus metrics and access to them."""

from __future__ import annotations

import re

from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User


def test_requests_are_counted_by_route_and_status(client: TestClient, user: User, admin: User):
    def counted() -> dict[tuple[str, str], float]:
        text = client.get("/metrics", headers=admin.headers).text
        pattern = r'logitrack_http_requests_total{method="\w+",route="([^"]+)",status="(\d+)"} (\S+)'
        return {(route, status): float(value) for route, status, value in re.findall(pattern, text)}

    before = counted()
    client.get("/me")
    client.get("/no/such/path/1")
    client.get("/no/such/path/2")
    client.get("/me", headers=user.headers)
    client.put("/predict")
    after = counted()
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert grown[("/me", "401")] == 1
    assert grown[("/me", "200")] == 1
    assert grown[("unmatched", "404")] == 2
    assert grown[("unmatched", "405")] == 1
    assert not any("such" in route for route, _ in after), "a path sent by a client is not a label value"


def test_metrics_cover_model_and_log(client: TestClient, user: User, admin: User):
    client.post("/predict", json={"pickup_zone": 1, "dropoff_zone": 2}, headers=user.headers)
    text = client.get("/metrics", headers=admin.headers).text
    for name in (
        'logitrack_model_serving{version="2019',
        "logitrack_model_promoted_timestamp_seconds",
        "logitrack_prediction_seconds_bucket",
        "logitrack_prediction_rows_bucket",
        "logitrack_model_reload_failures_total",
        "logitrack_prediction_log_waiting",
        "logitrack_database_connections",
    ):
        assert name in text


def test_metrics_need_an_admin_from_another_machine(
    service_home: ServiceHome, client: TestClient, user: User, admin: User
):
    assert client.get("/metrics").status_code == 401, "the address of the test client is not loopback"
    assert client.get("/metrics", headers=user.headers).status_code == 403
    assert client.get("/metrics", headers=admin.headers).status_code == 200
    with service_home.worker(metrics_access="everyone") as open_worker:
        assert open_worker.get("/metrics").status_code == 200


def test_metrics_content_type_names_the_charset_once(client: TestClient, admin: User):
    content_type = client.get("/metrics", headers=admin.headers).headers["content-type"]
    assert content_type.startswith("text/plain; version=")
    assert content_type.count("charset=utf-8") == 1


def test_metrics_cover_the_platform(service_home: ServiceHome, client: TestClient, admin: User):
    service_home.run(
        "insert into warehouse.pipeline_health values ('daemon', 'ok', 'Alive.', null, '2026-01-01 00:00Z'),"
        " ('source', 'degraded', 'Silent.', null, '2026-01-01 00:00Z')"
    )
    text = client.get("/metrics", headers=admin.headers).text
    service_home.run("truncate warehouse.pipeline_health")
    assert 'logitrack_platform_part_ok{part="daemon"} 1.0' in text
    assert 'logitrack_platform_part_ok{part="source"} 0.0' in text
    assert "logitrack_platform_reported_timestamp_seconds 1.7672256e+09" in text
    after = client.get("/metrics", headers=admin.headers).text
    assert "logitrack_platform_reported_timestamp_seconds 0.0" in after
