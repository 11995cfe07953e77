"""Change of the own password."""

from __future__ import annotations

from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, User, log_in


def test_password_change_requires_the_current_one_and_ends_sessions(client: TestClient, user: User):
    change = {"current_password": "not what it is", "new_password": "another long sentence 8"}
    assert client.post("/me/password", json=change, headers=user.headers).status_code == 403
    change["current_password"] = PASSWORD
    assert client.post("/me/password", json=change, headers=user.headers).status_code == 204
    assert client.get("/me", headers=user.headers).status_code == 401
    assert log_in(client, user.username).status_code == 401
    assert log_in(client, user.username, "another long sentence 8").status_code == 200


def test_weak_new_password_is_refused_by_field(client: TestClient, user: User):
    change = {"current_password": PASSWORD, "new_password": "password1234"}
    response = client.post("/me/password", json=change, headers=user.headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "new_password"
