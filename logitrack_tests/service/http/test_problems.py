"""Problem documents for every kind of error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psycopg
import pytest
from litestar import Litestar, get
from litestar.exceptions import ClientException, ImproperlyConfiguredException
from litestar.params import FromPath
from litestar.testing import TestClient
from sqlalchemy.exc import DataError, OperationalError

from logitrack_service.errors import (
    AuthenticationError,
    ConflictError,
    FieldError,
    InvalidFieldsError,
    RateLimitedError,
    ServiceError,
)
from logitrack_service.http.problems import SERVER_ERROR, problem_response, status_of
from logitrack_tests.service.conftest import User


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
def test_every_error_is_a_problem_document(
    client: TestClient, method: str, path: str, content: bytes | None, status: int
):
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


def test_internal_error_does_not_reveal_its_cause(client: TestClient, user: User, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret ingredient")

    monkeypatch.setattr("logitrack_service.predictions.scoring.predict_requests", fail)
    response = client.post("/predict", json={"pickup_zone": 1, "dropoff_zone": 2}, headers=user.headers)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "ingredient" not in response.text


def test_all_invalid_parameters_are_reported(client: TestClient, user: User):
    query = "/predict/departures?pickup_zone=x&dropoff_zone=900&hours=99&fleet=blue"
    response = client.get(query, headers=user.headers)
    assert response.status_code == 422
    assert {error["field"] for error in response.json()["errors"]} == {"pickup_zone", "dropoff_zone", "hours", "fleet"}


def subclasses(error_class: type[ServiceError]) -> list[type[ServiceError]]:
    """Return all direct and indirect subclasses."""
    return [found for child in error_class.__subclasses__() for found in (child, *subclasses(child))]


def test_every_domain_error_has_a_status():
    statuses = {error.__name__: status_of(error) for error in subclasses(ServiceError)}
    assert statuses, "the list would be empty without the import"
    assert {name for name, status in statuses.items() if status == 500} == set()


@get("/fail/{name:str}", sync_to_thread=False)
def fail(name: FromPath[str]) -> None:
    """Raise the error with the given name."""
    raise ERRORS[name]


class _SpecialConflictError(ConflictError):
    """A domain error that the table does not list."""


ERRORS: dict[str, Exception] = {
    "challenge": AuthenticationError("No.", challenge="Bearer"),
    "rate": RateLimitedError("Slow down.", retry_after_seconds=7),
    "fields": InvalidFieldsError([FieldError("zone", "Too large.")]),
    "subclass": _SpecialConflictError("Taken."),
    "unlisted": ServiceError("secret"),
    "outage": OperationalError("select 1", {}, psycopg.OperationalError("secret host")),
    "slow": OperationalError("select 1", {}, psycopg.errors.QueryCanceled("canceling")),
    "data": DataError("select 1", {}, psycopg.DataError("secret value")),
    "client": ClientException("Failed to do something internal"),
    "framework": ImproperlyConfiguredException("secret"),
}


@pytest.mark.parametrize(
    ("name", "status", "header", "detail"),
    [
        ("challenge", 401, ("www-authenticate", "Bearer"), "No."),
        ("rate", 429, ("retry-after", "7"), "Slow down."),
        ("fields", 422, None, "Some values are not valid."),
        ("subclass", 409, None, "Taken."),
        ("unlisted", 500, None, SERVER_ERROR),
        ("outage", 503, ("retry-after", "2"), "The database does not respond at the moment: try again shortly."),
        ("slow", 503, ("retry-after", "5"), "The database statement exceeded its time limit: narrow the request."),
        ("data", 422, None, "A value cannot be represented in the database."),
        ("client", 400, None, "The request cannot be read."),
        ("framework", 500, None, SERVER_ERROR),
    ],
)
def test_exceptions_are_converted_by_class(name: str, status: int, header: tuple[str, str] | None, detail: str):
    app = Litestar([fail], exception_handlers={Exception: problem_response})
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get(f"/fail/{name}")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == detail
    assert response.json()["title"] == HTTPStatus(status).phrase
    assert "secret" not in response.text
    if header:
        assert response.headers[header[0]] == header[1]
    if name == "fields":
        assert response.json()["errors"] == [{"field": "zone", "message": "Too large."}]
