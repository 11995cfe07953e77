"""Errors in one shape, headers, request ids, health, metrics."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient
from pydantic import SecretStr

from logitrack_assets.settings import Settings
from logitrack_service.app import create_app
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import KEY, ServiceHome, User


def test_the_service_imports_neither_spark_nor_dagster_nor_what_they_need():
    code = (
        "import sys, logitrack_service.app;"
        "heavy = ('pyspark', 'dagster', 'pandas', 'pyarrow', 'xgboost', 'sklearn', 'onnx');"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/analytics/nowhere", None, 404),
        ("PUT", "/predict", None, 405),
        ("GET", "/me", None, 401),
        ("POST", "/register", b"{", 400),
        ("POST", "/register", b"{}", 422),
        ("POST", "/register", b" " * 100_000, 413),
        ("GET", "/assets/secrets", None, 404),
    ],
)
def test_errors_have_one_shape(client: TestClient, method: str, path: str, content: bytes | None, status: int):
    response = client.request(method, path, content=content)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert set(body) >= {"title", "status", "detail", "instance", "request_id"}
    assert "?" not in body["title"] + body["instance"]
    assert body["request_id"] == response.headers["x-request-id"]
    if status == 405:
        assert "POST" in response.headers["allow"]


def test_a_failure_of_ours_says_nothing_about_its_cause(
    client: TestClient, user: User, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret ingredient")

    monkeypatch.setattr("logitrack_service.predictions.scoring.predict_requests", fail)
    response = client.post("/predict", json={"pickup_zone": 1, "dropoff_zone": 2}, headers=user.headers)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "ingredient" not in response.text


def test_parameters_are_all_named_when_wrong(client: TestClient, user: User):
    query = "/predict/departures?pickup_zone=x&dropoff_zone=900&hours=99&fleet=blue"
    response = client.get(query, headers=user.headers)
    assert response.status_code == 422
    assert {error["field"] for error in response.json()["errors"]} == {"pickup_zone", "dropoff_zone", "hours", "fleet"}


def test_every_answer_carries_security_headers_and_an_id(client: TestClient):
    for path in ("/health/live", "/nowhere", "/me", "/", "/docs", "/schema/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'unsafe-inline'" not in headers["content-security-policy"]
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_a_callers_request_id_is_kept_if_harmless(client: TestClient):
    assert client.get("/health/live", headers={"X-Request-ID": "trace-1234"}).headers["x-request-id"] == "trace-1234"
    nasty = client.get("/health/live", headers={"X-Request-ID": 'x" {"injected": true}'})
    assert "injected" not in nasty.headers["x-request-id"]


def test_pages_ask_no_other_server_for_anything(client: TestClient):
    for page in ("/", "/docs"):
        html = client.get(page).text
        assert not re.search(r"(src|href)=[\"'](https?:)?//", html)
        assert "<script>" not in html
        for asset in re.findall(r"(?:src|href)=\"(/assets/[^\"]+)\"", html):
            assert client.get(asset).status_code == 200
    assert "SwaggerUIBundle" in client.get("/assets/swagger-ui.js").text
    assert "/predict" in client.get("/schema/openapi.json").json()["paths"], "what the documentation page shows"


def test_metrics_count_every_status_as_what_it_is(client: TestClient, user: User, admin: User):
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
    assert not any("such" in route for route, _ in after), "a path made up by a caller is no label"


def test_metrics_name_the_model_and_the_log(client: TestClient, user: User, admin: User):
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


def test_metrics_are_for_this_machine_and_admins(
    service_home: ServiceHome, client: TestClient, user: User, admin: User
):
    assert client.get("/metrics").status_code == 401, "the test's client has no loopback address"
    assert client.get("/metrics", headers=user.headers).status_code == 403
    assert client.get("/metrics", headers=admin.headers).status_code == 200
    with service_home.worker(metrics_access="everyone") as open_worker:
        assert open_worker.get("/metrics").status_code == 200


def test_an_unreachable_database_is_said_and_predictions_go_on(
    isolated_home: ServiceHome, new_user: Callable[..., User], tmp_path: Any
):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        away = Settings(
            home=isolated_home.home,
            database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"),
            secret_key=SecretStr(KEY),
        )
        with TestClient(create_app(away, ServiceSettings()), raise_server_exceptions=False) as alone:
            trip = {"pickup_zone": 161, "dropoff_zone": 132}
            assert alone.post("/predict", json=trip, headers=user.headers).status_code == 200
            response = alone.post("/token", data={"username": user.username, "password": "whatever it is"})
            assert response.status_code == 503
            assert response.headers["retry-after"]
            assert response.headers["content-type"] == "application/problem+json"
            ready = alone.get("/health/ready")
            assert ready.status_code == 200
            assert ready.json()["checks"]["database"]["status"] == "degraded"
            assert ready.json()["checks"]["migrations"]["status"] == "degraded"


def test_traces_go_to_the_configured_collector(isolated_home: ServiceHome, monkeypatch: pytest.MonkeyPatch):
    received: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with isolated_home.worker() as client:
        assert client.get("/health/live").status_code == 200
        deadline = time.monotonic() + 5
        while not received and time.monotonic() < deadline:
            time.sleep(0.05)
    server.shutdown()
    server.server_close()
    assert set(received) == {"/v1/traces"}
