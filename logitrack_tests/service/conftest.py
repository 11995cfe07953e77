"""Fixtures of the service tests: a database, a model, and in-process workers."""

from __future__ import annotations

import contextlib
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text

from logitrack_assets.database import migrate
from logitrack_assets.settings import Settings
from logitrack_service.app import create_app
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.models import promote_model

PASSWORD = "correct horse battery staple 7"
KEY = "a key for tests only, of more than thirty-two bytes"
QUICK_HASHES: dict[str, Any] = {"argon2_memory_kib": 64, "argon2_iterations": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turn the deprecation warnings of Litestar into errors."""
    for item in items:
        if "logitrack_tests/service" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("error::litestar.exceptions.base_exceptions.LitestarWarning"))
            item.add_marker(pytest.mark.filterwarnings("error::DeprecationWarning:litestar"))


@dataclass
class ServiceHome:
    """Settings and database that the workers of one service share."""

    settings: Settings
    engine: Engine

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    @contextlib.contextmanager
    def worker(self, **settings: Any) -> Iterator[TestClient]:
        """Run a worker and yield its client."""
        app = create_app(self.settings, ServiceSettings(**{**QUICK_HASHES, **settings}))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    def run(self, sql: str, **values: Any) -> list[Any]:
        """Execute and commit a statement; return its rows."""
        with self.engine.begin() as connection:
            result = connection.execute(text(sql), values)
            return list(result.all()) if result.returns_rows else []


@contextlib.contextmanager
def create_home(folder: Path, postgres: str) -> Iterator[ServiceHome]:
    """Create a database and a home directory with a champion that predicts 20 minutes for every trip."""
    name = f"service_{uuid.uuid4().hex[:10]}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    promote_model(folder)
    engine = create_engine(url)
    yield ServiceHome(Settings(home=folder, database_url=SecretStr(url), secret_key=SecretStr(KEY)), engine)
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture(scope="package")
def service_home(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[ServiceHome]:
    """Return the home that most tests share; tests that change the champion use `isolated_home`."""
    with create_home(tmp_path_factory.mktemp("service"), postgres) as shared:
        yield shared


@pytest.fixture
def isolated_home(tmp_path: Path, postgres: str) -> Iterator[ServiceHome]:
    """Return a home for one test."""
    with create_home(tmp_path, postgres) as own:
        yield own


@pytest.fixture(scope="package")
def client(service_home: ServiceHome) -> Iterator[TestClient]:
    """Return the client of a worker that runs for all tests."""
    with service_home.worker() as worker:
        yield worker


@dataclass
class User:
    """A registered user with a valid access token."""

    username: str
    tokens: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


def log_in(client: httpx.Client, username: str, password: str = PASSWORD) -> httpx.Response:
    """Request a token."""
    return client.post("/token", data={"username": username, "password": password})


@pytest.fixture
def new_user(service_home: ServiceHome, client: TestClient) -> Callable[..., User]:
    """Return a function that creates users with any role."""

    def make(role: str = "user", *, client: httpx.Client = client, home: ServiceHome = service_home) -> User:
        username = f"{role}-{secrets.token_hex(4)}"
        response = client.post("/register", json={"username": username, "password": PASSWORD})
        assert response.status_code == 201, response.text
        home.run("update service.accounts set role = :role where username = :username", role=role, username=username)
        # All tests share one client address and would exceed its rate limit.
        home.run("delete from service.throttle")
        response = log_in(client, username)
        assert response.status_code == 200, response.text
        return User(username, response.json())

    return make


@pytest.fixture
def user(new_user: Callable[..., User]) -> User:
    return new_user()


@pytest.fixture
def analyst(new_user: Callable[..., User]) -> User:
    return new_user("analyst")


@pytest.fixture
def admin(new_user: Callable[..., User]) -> User:
    return new_user("admin")
