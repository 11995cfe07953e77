"""Bearer authentication: only paths that must be open are open, and malformed tokens are challenged."""

from __future__ import annotations

import re
import uuid

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from logitrack_service.auth.roles import includes_role

OPEN_PATHS = {
    "/", "/console/{view:str}", "/docs", "/assets/{name:str}", "/register", "/token", "/token/refresh", "/session",
    "/zones", "/zones.geojson", "/health/live", "/health/ready", "/metrics", "/schema", "/schema/openapi.json",
}  # fmt: skip


def test_every_other_path_requires_a_token(client: TestClient):
    opened = set()
    for route in client.app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        path = re.sub(r"{\w+:\w+}", "x", re.sub(r"{\w+:uuid}", str(uuid.uuid4()), route.path))
        for method in route.methods - {"OPTIONS"}:
            response = client.request(method, path)
            if response.status_code != 401:
                opened.add(route.path)
            else:
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert response.headers["content-type"] == "application/problem+json"
    assert {path for path in opened if not path.startswith("/schema")} <= OPEN_PATHS


@pytest.mark.parametrize(
    "path", ["/health/live/../../me", "/health/me", "/me/", "/me?x=/health/live", "/ME", "/token/me"]
)
def test_path_variants_do_not_bypass_authentication(client: TestClient, path: str):
    assert client.get(path).status_code in (401, 404, 405)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000, "Bearer é", "bearer null"]
)
def test_malformed_token_is_challenged(client: TestClient, header: str):
    response = client.get("/me", headers={"Authorization": header.encode()})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("role", "included"),
    [
        ("user", ["user"]),
        ("analyst", ["user", "analyst"]),
        ("admin", ["user", "analyst", "admin"]),
        ("emperor", []),
        ("", []),
    ],
)
def test_role_includes_those_before_it(role: str, included: list[str]):
    assert [required for required in ("user", "analyst", "admin") if includes_role(role, required)] == included
