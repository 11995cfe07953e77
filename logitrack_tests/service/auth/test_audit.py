"""The audit trail over HTTP: complete, newest first, in pages, for admins only."""

from __future__ import annotations

from litestar.testing import TestClient

from logitrack_tests.service.conftest import User


def test_events_are_listed_newest_first_in_pages(client: TestClient, user: User, admin: User):
    client.put(f"/accounts/{user.username}/role", json={"role": "analyst"}, headers=admin.headers)
    page = client.get("/audit", params={"limit": 2}, headers=admin.headers).json()
    newest, _ = page["rows"]
    assert (newest["event"], newest["username"]) == ("role_changed", user.username)
    assert newest["detail"]["after"] == "analyst"
    following = client.get("/audit", params={"limit": 2, "before": page["next"]}, headers=admin.headers).json()
    assert following["rows"][0]["event_id"] < page["rows"][-1]["event_id"]


def test_events_are_filtered_by_kind_and_account(client: TestClient, user: User, admin: User):
    query = {"event": "login", "username": user.username}
    rows = client.get("/audit", params=query, headers=admin.headers).json()["rows"]
    assert [(row["event"], row["username"]) for row in rows] == [("login", user.username)]
    body = client.get("/audit", params={"event": "none"}, headers=admin.headers).json()
    assert body == {"rows": [], "next": None}


def test_others_do_not_see_the_audit_trail(client: TestClient, analyst: User):
    assert client.get("/audit", headers=analyst.headers).status_code == 403
