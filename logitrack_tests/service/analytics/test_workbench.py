"""Analysts' workbench: documented views, and queries that an account saves for itself."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from litestar.testing import TestClient

from logitrack_service.analytics import workbench
from logitrack_tests.service.conftest import ServiceHome, User

SQL = "select hour, sum(trips) as trips from hours group by hour"


def save(client: TestClient, user: User, name: str, sql: str = SQL) -> int:
    path = f"/analytics/saved-queries/{quote(name, safe='')}"
    return client.put(path, json={"sql": sql}, headers=user.headers).status_code


def saved(client: TestClient, user: User) -> dict[str, str]:
    rows = client.get("/analytics/saved-queries", headers=user.headers).json()
    return {row["name"]: row["sql"] for row in rows}


def test_every_view_and_function_result_is_described(client: TestClient, analyst: User):
    views = {view["view"]: view for view in client.get("/analytics/schema", headers=analyst.headers).json()}
    assert {"trips", "hours", "pairs", "zones", "months", "outcomes", "live_error"} <= set(views)
    undescribed = [
        f"{name}.{column['name']}"
        for name, view in views.items()
        for column in view["columns"]
        if not (view["description"] and column["description"])
    ]
    assert undescribed == []
    hours = {column["name"]: column for column in views["hours"]["columns"]}
    assert hours["trips"] == {
        "name": "trips",
        "type": "bigint",
        "description": "Number of trips.",
    }


def test_saved_queries_belong_to_their_account(client: TestClient, new_user: Callable[..., User]):
    ada, bob = new_user("analyst"), new_user("admin")
    assert save(client, ada, "trips by hour") == 200
    assert save(client, ada, "été, 100%") == 200
    assert save(client, ada, "trips by hour", "select 1") == 200
    assert saved(client, ada) == {"trips by hour": "select 1", "été, 100%": SQL}
    assert saved(client, bob) == {}
    path = f"/analytics/saved-queries/{quote('été, 100%', safe='')}"
    assert client.delete(path, headers=bob.headers).status_code == 404
    assert client.delete(path, headers=ada.headers).status_code == 204
    assert client.delete(path, headers=ada.headers).status_code == 404
    assert list(saved(client, ada)) == ["trips by hour"]


def test_saved_queries_are_deleted_with_their_account(
    client: TestClient, service_home: ServiceHome, new_user: Callable[..., User]
):
    ada, admin = new_user("analyst"), new_user("admin")
    before = service_home.run("select count(*) from service.saved_queries")
    save(client, ada, "mine")
    assert client.delete(f"/accounts/{ada.username}", headers=admin.headers).status_code == 204
    assert service_home.run("select count(*) from service.saved_queries") == before


@pytest.mark.parametrize("name", ["   ", "x" * 101, "a\x00b"])
def test_unusable_names_are_refused(client: TestClient, analyst: User, name: str):
    assert save(client, analyst, name) == 422
    assert client.delete(f"/analytics/saved-queries/{quote(name)}", headers=analyst.headers).status_code == 404


def test_the_number_of_saved_queries_is_limited(client: TestClient, analyst: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workbench, "MAX_SAVED_QUERIES", 2)
    assert [save(client, analyst, name) for name in ("a", "b", "c")] == [200, 200, 409]
    assert save(client, analyst, "b", "select 2") == 200, "an existing one can still be replaced"


@pytest.mark.parametrize("path", ["schema", "saved-queries"])
def test_users_have_no_workbench(client: TestClient, user: User, path: str):
    assert client.get(f"/analytics/{path}", headers=user.headers).status_code == 403
