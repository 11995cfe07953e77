"""Security headers and request ids."""

from __future__ import annotations

import re

from litestar.testing import TestClient


def test_every_response_has_security_headers_and_a_request_id(client: TestClient):
    for path in ("/health/live", "/nowhere", "/me", "/", "/docs", "/schema/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'unsafe-inline'" not in headers["content-security-policy"]
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_valid_request_id_of_the_client_is_kept(client: TestClient):
    assert client.get("/health/live", headers={"X-Request-ID": "trace-1234"}).headers["x-request-id"] == "trace-1234"
    nasty = client.get("/health/live", headers={"X-Request-ID": 'x" {"injected": true}'})
    assert "injected" not in nasty.headers["x-request-id"]
