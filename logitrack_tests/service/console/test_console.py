"""Web pages of the service."""

from __future__ import annotations

import re

from litestar.testing import TestClient


def test_pages_load_nothing_from_other_servers(client: TestClient):
    for page in ("/", "/docs"):
        html = client.get(page).text
        assert not re.search(r"(src|href)=[\"'](https?:)?//", html)
        assert "<script>" not in html
        for asset in re.findall(r"(?:src|href)=\"(/assets/[^\"]+)\"", html):
            assert client.get(asset).status_code == 200
    assert "SwaggerUIBundle" in client.get("/assets/swagger-ui.js").text
    assert "/predict" in client.get("/schema/openapi.json").json()["paths"], "what the documentation page shows"
