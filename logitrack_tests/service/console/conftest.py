"""A service with two model versions, months, outcomes and accounts, and a browser."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from logitrack_service.app import create_app
from logitrack_service.settings import ServiceSettings
from logitrack_tests.browser import chromium
from logitrack_tests.service.conftest import PASSWORD, QUICK_HASHES, ServiceHome, create_home
from logitrack_tests.service.http.server import serving_app
from logitrack_tests.service.models import publish_model
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.warehouse import fill


@dataclass(frozen=True)
class Site:
    """A running service.

    Attributes:
        base: Its address.
        home: Its home and database.
        candidate: A version that is not served.
    """

    base: str
    home: ServiceHome
    candidate: str

    def register(self, role: str) -> str:
        """Create an account with a role and return its name."""
        username = f"{role}-{secrets.token_hex(4)}"
        body = {"username": username, "password": PASSWORD}
        assert httpx.post(f"{self.base}/register", json=body).status_code == 201
        self.home.run("update service.accounts set role = :role where username = :name", role=role, name=username)
        self.home.run("delete from service.throttle")  # all tests share one address
        return username

    def report_outcomes(self, *, minutes: float, count: int) -> None:
        """Predict rides of two hours ago as a new account that is vouched for, and report their durations."""
        username = self.register("user")
        self.home.run("update service.accounts set vouched = true where username = :name", name=username)
        form = {"username": username, "password": PASSWORD}
        token = httpx.post(f"{self.base}/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        trips = {"trips": [{"pickup_zone": 161, "dropoff_zone": 162}] * count}
        results = httpx.post(f"{self.base}/predict/batch", json=trips, headers=headers).json()["results"]
        logged = (
            "select count(*) from service.predictions join service.accounts using (account_id) where username = :name"
        )
        eventually(lambda: self.home.run(logged, name=username)[0][0] == count)
        self.home.run(
            "update service.predictions set at = at - interval '2 hours', pickup_at = pickup_at - interval '2 hours'"
            " where account_id = (select account_id from service.accounts where username = :name)",
            name=username,
        )
        outcomes = [{"prediction_id": result["prediction_id"], "duration_minutes": minutes} for result in results]
        answer = httpx.post(f"{self.base}/outcomes", json={"outcomes": outcomes}, headers=headers)
        assert answer.json()["recorded"] == count

    def sign_in(self, page: Any, role: str) -> str:
        """Give the browser of a page the session of a new account; return its name."""
        username = self.register(role)
        answer = page.context.request.post(f"{self.base}/session", data={"username": username, "password": PASSWORD})
        assert answer.status == 204
        return username


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("console")
    with create_home(folder, postgres) as home:
        candidate = publish_model(folder, minutes=18, number=2)
        fill(home.engine, ["2019-01", "2019-02"], trips=2_000, zones=40, fleets=("yellow", "green"))
        app = create_app(home.settings, ServiceSettings(**QUICK_HASHES))
        with serving_app(app) as (port, _):
            yield Site(f"http://127.0.0.1:{port}", home, candidate)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started
